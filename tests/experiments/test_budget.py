"""A budget of time goes into what is missing, in an order of worth, and is not overdrawn."""

import dataclasses
import itertools
import math

import pytest

from resnet_keras.data import Identity
from resnet_keras.errors import UserError
from resnet_keras.experiments import budget, cost
from resnet_keras.experiments.budget import CLAIM, Estimate, Job, in_order_of_worth, schedule
from resnet_keras.experiments.catalogue import EXPERIMENTS, Experiment, experiment
from resnet_keras.report.claims import deciding_runs
from resnet_keras.store import Store
from resnet_keras.training.recipe import PRESETS, Recipe, preset
from resnet_keras.training.run import Run
from tests.report.synthetic import write_run

IDENTITY = Identity("cifar10", "3.0.2", "CIFAR-10")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("25m", 1500), ("90s", 90), ("1h30m", 5400), ("2h", 7200), ("0.5h", 1800), ("1h0m5s", 3605), (" 8M ", 480)],
)
def test_a_time_is_read_as_people_write_it(text, seconds):
    assert budget.seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["0", "0m", "-5m", "soon", "", "25", "5m1h", "1e3s", "nan", "inf", "m", "٣m", "9" * 400 + "h"]
)
def test_what_is_no_time_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="give a time such as 25m") as caught:
        budget.seconds_of(text)
    assert "\n" not in str(caught.value)


def estimate(network, seconds, seed=0, first=1.0, measuring=()):
    job = Job(Run(network, "cifar10", preset("short"), seed), IDENTITY, ("probe",), tuple(dict(measuring)))
    return Estimate(job, seconds, min(first, seconds), dict(measuring))


def titles(ordered):
    return [one.job.run.title for one in ordered]


def names(*estimates):
    return {one.job.name for one in estimates}


def test_the_pair_of_a_claim_stays_together_and_comes_before_what_decides_nothing():
    plain20, plain32 = estimate("plain20", 10), estimate("plain32", 12)
    plain56, resnet56 = estimate("plain56", 16), estimate("resnet56", 17)
    ordered = in_order_of_worth([plain32, resnet56, plain20, plain56], [names(plain56, resnet56)])
    assert titles(ordered) == ["plain56", "resnet56", "plain20", "plain32"]


def test_a_claim_that_is_far_dearer_than_a_curve_waits():
    curve, dear = estimate("plain32", 10), estimate("resnet1202", 10 * CLAIM + 1)
    assert titles(in_order_of_worth([dear, curve], [names(dear)])) == ["plain32", "resnet1202"]
    near = dataclasses.replace(dear, training=10 * CLAIM - 1)
    assert titles(in_order_of_worth([curve, near], [names(near)])) == ["resnet1202", "plain32"]


def test_a_claim_costs_what_is_missing_of_it():
    """Its other run is there or was taken for another claim: the claim with the cheapest rest is next."""
    a, b, c, d = (estimate(network, cost) for network, cost in
                  (("plain20", 10), ("plain32", 20), ("plain44", 25), ("plain56", 11)))  # fmt: skip
    claims = [names(b, c), names(a, d), names(a, b), {"of a run that is done", *names(c)}]
    assert titles(in_order_of_worth([a, b, c, d], claims)) == ["plain20", "plain56", "plain32", "plain44"]


def test_one_seed_of_everything_before_the_second_of_anything():
    found = [estimate(n, s, seed) for seed in (1, 0) for n, s in (("resnet110", 900), ("plain20", 10))]
    ordered = in_order_of_worth(found, [names(found[1])])
    assert titles(ordered) == ["plain20", "resnet110", "plain20 seed 1", "resnet110 seed 1"]


def test_what_fits_is_started_and_the_last_one_as_far_as_a_checkpoint():
    ones = [estimate("plain20", 100), estimate("plain32", 200, first=60), estimate("plain44", 300)]
    assert [given for _, given in schedule(ones, math.inf)] == [100, 200, 300]
    assert schedule(ones, 160) == [(ones[0], 100), (ones[1], 60)]


def test_what_cannot_even_reach_a_checkpoint_is_passed_over():
    ones = [estimate("resnet1202", 9000, first=700), estimate("plain20", 100, first=50)]
    assert schedule(ones, 600) == [(ones[1], 100)]
    assert schedule(ones, 49) == []
    measured = estimate("plain20", 0.0, measuring={"lesion": 40.0, "responses": 10.0})
    assert schedule([measured], 9) == [] and schedule([measured], 10) == [(measured, 10)]


@pytest.mark.parametrize("scale", ["short", "paper"])
@pytest.mark.parametrize("seeds", [1, 5])
def test_every_claim_of_an_experiment_finds_the_runs_that_decide_it(scale, seeds):
    """The order of worth rests on labels of claims.csv being those of runs."""
    from resnet_keras.report.claims import claims

    for chosen in EXPERIMENTS.values():
        if scale not in chosen.networks:
            continue
        found = deciding_runs(chosen, scale, "cifar10", chosen.runs(scale, "cifar10", seeds))
        wanted = [c for c in claims() if c.experiment == chosen.name and (not c.scales or scale in c.scales)]
        sides = [1 + isinstance(claim.right, str) for claim in wanted if claim.needs <= seeds]
        assert [len(taken) for taken in found] == [seeds * count for count in sides], chosen.name


SHALLOW, DEEP = experiment("degradation").networks["smoke"][:2], experiment("degradation").networks["smoke"][2:]


def planned(root, seeds=1, names=("degradation", "residual", "lesion")):
    chosen = [experiment(name) for name in names]
    return budget.plan(
        chosen, scale="smoke", seeds=seeds, precision="float32", deciding=deciding_runs, store=Store(root)
    )


def test_runs_that_experiments_share_are_one_job_with_all_their_measurements(tmp_path):
    plan = planned(tmp_path)
    jobs = {job.run.title: job for job in plan.jobs.values()}
    assert set(jobs) == {*SHALLOW, *DEEP}
    assert jobs[SHALLOW[0]].experiments == ("degradation", "residual", "lesion")
    assert jobs[SHALLOW[0]].measures == ("lesion",) and jobs[DEEP[0]].measures == ()


def test_an_experiment_without_its_data_is_left_out_and_without_any_that_is_an_error(tmp_path):
    chosen = [experiment("degradation")]
    with pytest.raises(UserError, match="no folder"):
        budget.plan(chosen, scale="smoke", data="./nowhere", deciding=deciding_runs, store=Store(tmp_path))
    elsewhere = dataclasses.replace(chosen[0], name="elsewhere")
    object.__setattr__(elsewhere, "runs", lambda *_, **__: [Run("plain20", "./nowhere", preset("smoke"))])
    plan = budget.plan([*chosen, elsewhere], scale="smoke", deciding=deciding_runs, store=Store(tmp_path))
    assert len(plan.jobs) == 4 and len(plan.left_out) == 1 and "elsewhere: left out" in plan.left_out[0]


def test_what_is_done_is_no_longer_missing_and_a_checkpoint_counts(tmp_path):
    pytest.importorskip("keras")
    whole = {one.job.run.title: one for one in planned(tmp_path).estimates()}
    plain, residual = DEEP
    write_run(tmp_path, plain, data="shapes32", version=planned_version(), scale="smoke")
    half = Store(tmp_path).run(whole[residual].job.name)
    half.path.mkdir(parents=True)
    (half.path / f"checkpoint-{preset('smoke').iterations // 2:08d}.safetensors").touch()
    left = {one.job.run.title: one for one in planned(tmp_path).estimates()}
    assert set(left) == {*SHALLOW, residual}
    start = cost.START_SECONDS
    assert 0.45 < (left[residual].training - start) / (whole[residual].training - start) < 0.55


def planned_version():
    from resnet_keras.data import identify

    return identify("shapes32").version


@pytest.fixture
def small(tiny, monkeypatch):
    """An experiment of two networks that train in no time, and its plan."""
    pytest.importorskip("keras")
    from resnet_keras import data

    recipe = Recipe(iterations=6, batch_size=16, drops=(3,), log_interval=3, test_interval=6, steps_per_call=1)
    monkeypatch.setitem(PRESETS, "smoke", recipe)
    monkeypatch.setattr(data, "load", lambda *_, **__: tiny)
    for module in (budget, budget.runner):
        monkeypatch.setattr(module, "identify", lambda *_: tiny.identity)
    return Experiment("small", "Small", "nowhere", "nothing", {"smoke": ("resnet8", "plain8")}, ("responses",))


class Stub(budget.Deadline):
    """Comes after a number of calls of all runs together; the clock says that there is time."""

    calls = itertools.count()
    last = math.inf

    def comes_before_another(self, took, compiled):
        return next(Stub.calls) + 1 >= Stub.last


def test_the_time_is_spent_and_the_next_call_goes_on(small, tmp_path, monkeypatch, capsys):
    def plan():
        return budget.plan(
            [small], scale="smoke", data="tiny", precision="float32", deciding=deciding_runs, store=Store(tmp_path)
        )

    monkeypatch.setattr(budget, "Deadline", Stub)
    monkeypatch.setattr(Stub, "calls", itertools.count())
    monkeypatch.setattr(Stub, "last", 9)
    first = plan().estimates()[0].job
    left = budget.spend(plan(), Stub(1e6))
    assert len(left) == 1 and left[0].job.name != first.name
    folder = Store(tmp_path).run(left[0].job.name)
    assert folder.status == "interrupted" and folder.summary["iterations"] == 3
    assert Store(tmp_path).run(first.name).has_measurement("responses")
    capsys.readouterr()

    monkeypatch.setattr(Stub, "last", math.inf)
    again = plan()
    assert "1 of 2 runs are done" in budget.told(again, again.estimates(), 1e6)
    assert budget.spend(again, Stub(1e6)) == []
    assert folder.done and folder.has_measurement("responses")
    out = capsys.readouterr().out
    assert "going on at iteration 3" in out and first.name not in out
    assert "2 of 2 runs are done" in budget.told(again, [])


def test_what_another_process_is_at_work_on_is_left_to_it(small, tmp_path, monkeypatch, capsys):
    plan = budget.plan(
        [small], scale="smoke", data="tiny", precision="float32", deciding=deciding_runs, store=Store(tmp_path)
    )
    monkeypatch.setattr(budget, "Deadline", Stub)
    first, other = (one.job.name for one in plan.estimates())
    with Store(tmp_path).run(first).lock():
        left = budget.spend(plan, Stub(1e6))
    assert [one.job.name for one in left] == [first]
    assert Store(tmp_path).run(other).done and "left to another process" in capsys.readouterr().out


def test_no_time_starts_nothing(small, tmp_path):
    plan = budget.plan(
        [small], scale="smoke", data="tiny", precision="float32", deciding=deciding_runs, store=Store(tmp_path)
    )
    assert len(budget.spend(plan, Stub(1))) == 2
    assert not list(tmp_path.rglob("*"))
