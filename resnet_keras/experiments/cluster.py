"""Many runs over many machines: each missing run is a task of a Ray cluster.

Ray chooses the node and starts the process; `remote.py` says what happens in it and how results come home. This
module knows Ray and nothing of a run's files. A task whose worker dies is sent again and goes on from the newest
checkpoint at home; the same command goes on after the driver itself was stopped or killed.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import socket
import time
import uuid
from pathlib import Path

from resnet_keras.data import Identity
from resnet_keras.errors import SomeFailed, UserError, first_line
from resnet_keras.experiments import measurements, remote
from resnet_keras.experiments.remote import Job, Outcome
from resnet_keras.quiet import held_back
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.interruption import Interrupted, Interruption
from resnet_keras.training.progress import Board, Standing
from resnet_keras.training.run import Run, is_done

DEATHS = 3  # workers in a row that may die on a run without getting it any further
AGAIN = 10.0  # seconds until a run that another process has is asked for again
STARTS = 3  # tries to start Ray here: on a busy machine its own processes may not find each other in time
OBJECTS = 512 * 2**20  # bytes of Ray's own memory for results on their way home; what is larger goes over the disk
LOOK = 1.0  # seconds between two looks at the cluster

# Variables of the driver that decide how a worker trains; the others are each machine's own affair.
PASSED_ON = (
    "KERAS_BACKEND", "RESNET_KERAS_DATA", "RESNET_KERAS_XLA", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTRAOP_THREADS", "TFDS_DATA_DIR", "JAX_PLATFORMS", "XLA_FLAGS",
)  # fmt: skip
# Where several runs share a GPU, none may take all of its memory at once, as TensorFlow and JAX do by default.
SHARING_A_GPU = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a run asks of a node.

    Attributes:
        gpus: GPUs, fractions allowed; None for one where the cluster has any.
        cpus: CPUs, which are the threads of a training on a CPU.
    """

    gpus: float | None = None
    cpus: float = 1.0

    def __post_init__(self):
        """Refuse what no run can use.

        Raises:
            UserError: Naming the option and what is allowed.
        """
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            raise UserError(
                f"gpus-per-run={self.gpus:g}: a run of an experiment trains on one GPU: give 1, a fraction such as 0.5 "
                "to let two share one, or 0 for none."
            )
        if not 0 < self.cpus < float("inf"):
            raise UserError(f"cpus-per-run={self.cpus:g}: give a number above 0.")

    def __str__(self):
        """For people: "1 GPU and 4 CPUs"."""
        return f"{_counted(self.gpus, 'GPU')} and {_counted(self.cpus, 'CPU')}" if self.gpus else (
            _counted(self.cpus, "CPU")
        )  # fmt: skip


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'s' * (number > 1)}"


class Cluster:
    """The engine of `runner` that sends runs to a Ray cluster. Connects when it is first needed, and once.

    Args:
        address: HOST:PORT of the cluster's head, "auto" for the one that runs on this machine, None to start one here.
        needs: What each run asks of a node.
        deterministic: As the command line takes it.
        seen_as: Where workers look for the results folder; default: where it is here.
    """

    def __init__(self, address: str | None = None, needs: Needs | None = None, deterministic=False, seen_as=None):
        """Nothing is connected yet.

        Raises:
            UserError: Ray is not installed, or the address is none.
        """
        self.address, self.needs, self.deterministic = address, needs or Needs(), deterministic
        self.seen_as = seen_as
        self.ray, self.mine = _import(), False
        if address is not None:
            _check_address(address)

    def __enter__(self) -> Cluster:
        """Connect later."""
        return self

    def __exit__(self, *_) -> None:
        """Leave the cluster, and end it if it was started here."""
        if self.mine:
            self.ray.shutdown()
            self.mine = False

    def precision(self) -> str:
        """The faster precision of a node's device."""
        self.connect()
        task = self.ray.remote(**self._options("precision"))(_precision)
        return self._answer(task.remote(self._environment()))

    def execute(
        self,
        runs: list[Run],
        identity: Identity,
        measures: tuple[str, ...],
        *,
        store: Store,
        data_dir=None,
        force=False,
    ) -> None:
        """Train and measure what is missing of some runs.

        Raises:
            SomeFailed: Some runs were not made, each told in a line; the others are done.
            UserError: The cluster cannot be reached or used.
            Interrupted: Ctrl-C or SIGTERM came; what was under way has been saved.
        """
        unmeasured = {run.name(identity) for _, run in measurements.possible(measures, runs, identity, store)}
        names = {run.name(identity): run for run in runs}
        missing = {n: run for n, run in names.items() if force or not is_done(store.run(n)) or n in unmeasured}
        if not missing:
            print(f"All {len(runs)} runs are there already; --force repeats them.")
            return
        self.connect()
        store.root.mkdir(parents=True, exist_ok=True)
        results, session = str(store.root.resolve()), uuid.uuid4().hex[:12]
        common = {
            "measures": tuple(measures),
            "results": str(self.seen_as or results),
            "session": session,
            "data_dir": None if data_dir is None else str(Path(data_dir).expanduser().resolve()),
            "environment": self._environment(),
            "deterministic": self.deterministic,
        }
        jobs = {name: Job(_from_anywhere(run), name, **common) for name, run in missing.items()}
        print(
            f"{len(jobs)} of {len(runs)} runs to train, each with {self.needs}; nodes: {self._described()}.", flush=True
        )
        try:
            with self._home(results, tuple(jobs) if force else ()) as home:
                Driver(self, home, jobs).drive()
        except self.ray.exceptions.RayError as error:
            raise UserError(f"the Ray cluster is gone ({first_line(error)}): the same command goes on.") from error

    def connect(self) -> None:
        """Reach the cluster or start one, unless this process has one already.

        Raises:
            UserError: There is none, it does not start, or it can never give a run what it needs.
        """
        if not self.ray.is_initialized():
            self.mine = True
            if self.address is None:
                self._start()
            else:
                self._reach()
        nodes = self._nodes()
        if self.needs.gpus is None:
            self.needs = dataclasses.replace(self.needs, gpus=1.0 if any(gpus for _, gpus in nodes) else 0.0)
        if not self._fits(nodes):
            raise UserError(f"no node of the cluster can give a run {self.needs}; its nodes: {self._described()}.")

    def _start(self) -> None:
        """Start Ray on this machine, closed to others."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        for _ in range(STARTS):
            error = self._init(
                address="local", num_cpus=device.cores(), include_dashboard=False, object_store_memory=OBJECTS,
                _node_ip_address="127.0.0.1",
            )  # fmt: skip
            if error is None:
                return
            self.ray.shutdown()
        raise UserError(f"Ray does not start on this machine ({first_line(error)}).") from error

    def _reach(self) -> None:
        try:
            if self.address != "auto":
                host, _, port = self.address.rpartition(":")
                socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            error = self._init(address=self.address)
        except OSError as nobody:
            error = nobody
        if error is not None:
            raise UserError(
                f"no Ray cluster can be reached at {self.address} ({first_line(error)}): give HOST:PORT of its head, "
                "and run this command on a machine that belongs to it, as `ray start` makes it; where it asks for a "
                "token, set RAY_AUTH_MODE=token."
            ) from error

    def _init(self, **options) -> Exception | None:
        """Start or reach Ray; what was wrong, if anything. It raises many kinds, and says the same several times."""
        with held_back():
            try:
                self.ray.init(log_to_driver=False, logging_level="critical", **options)
                return None
            except Exception as error:
                return error

    def _nodes(self) -> list[tuple[float, float]]:
        """(CPUs, GPUs) of each living node."""
        alive = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        return [(there.get("CPU", 0.0), there.get("GPU", 0.0)) for there in alive]

    def _fits(self, nodes) -> bool:
        return any(cpus >= self.needs.cpus and gpus >= (self.needs.gpus or 0) for cpus, gpus in nodes)

    def fits(self) -> bool:
        """Whether there is a node now that can give a run what it needs."""
        return self._fits(self._nodes())

    def _described(self) -> str:
        """The nodes, for people."""
        nodes = [
            _counted(cpus, "CPU") + (f" and {_counted(gpus, 'GPU')}" if gpus else "") for cpus, gpus in self._nodes()
        ]
        return "; ".join(f"{nodes.count(node)} x {node}" for node in dict.fromkeys(nodes)) or "none"

    def _environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        if "RESNET_KERAS_DATA" in passed:
            passed["RESNET_KERAS_DATA"] = str(Path(passed["RESNET_KERAS_DATA"]).expanduser().resolve())
        sharing = SHARING_A_GPU if 0 < (self.needs.gpus or 0) < 1 else {}
        threads = {} if self.needs.gpus else {"TF_NUM_INTRAOP_THREADS": str(max(1, int(self.needs.cpus)))}
        return {**threads, **sharing, **passed}

    def _options(self, title: str) -> dict:
        """How a task is scheduled. Retries are the driver's, which knows how far a run has come."""
        asked = {"num_cpus": self.needs.cpus, "num_gpus": self.needs.gpus or 0}
        return {**asked, "name": title, "max_retries": 0, "scheduling_strategy": "SPREAD"}

    def submit(self, job: Job, home):
        """Send a run to the cluster; returns what stands for its outcome."""
        return self.ray.remote(**self._options(job.run.title))(_work).remote(job, home)

    def outcome(self, reference, say) -> Outcome:
        """What came of a task that has ended; "died" where its worker or its node did.

        Args:
            reference: As `submit` returned it.
            say: Takes what is worth more than a line.
        """
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except errors.TaskCancelledError:
            return Outcome("interrupted", "")
        except errors.RayTaskError as error:  # nothing that a run may raise: a fault of ours, to be seen whole
            say(str(error))
            return Outcome("failed", "", first_line(error.cause or error))
        except errors.RuntimeEnvSetupError as error:
            return Outcome("failed", "", first_line(error))
        except errors.RayError as error:
            return Outcome("died", "", first_line(error, 100))

    def _answer(self, reference):
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise UserError(f"a worker of the cluster cannot begin: {first_line(error.cause or error)}") from None
        except self.ray.exceptions.RayError as error:
            raise UserError(f"the Ray cluster does not answer ({first_line(error)}).") from error

    @contextlib.contextmanager
    def _home(self, results: str, forced: tuple[str, ...]):
        """A `remote.Home` in a process of this machine that every worker can call."""
        here = self.ray.get_runtime_context().get_node_id()
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        actor = self.ray.remote(num_cpus=0, scheduling_strategy=strategy)(remote.Home).remote(results, forced)
        home = Calls(actor)
        try:
            if not remote.shares(results, home):
                raise UserError(
                    f"the part of the cluster that runs on this machine does not see {results}: start it by the same "
                    "user and in the same container, or choose another folder with --results."
                )
            yield home
        finally:
            with contextlib.suppress(UserError):
                home.close()
            self.ray.kill(actor)


class Calls:
    """Passes calls on to an actor: raises what it raises, and `UserError` where it is gone.

    Ray gives the CPUs of a task away while its main thread waits for an answer, and would start another run on them;
    so it is another thread that waits.
    """

    def __init__(self, actor):
        """`actor`: its handle."""
        self.actor = actor

    def __getattr__(self, name: str):
        """The actor's method."""
        if name.startswith("_"):  # of this object, which travels to the workers
            raise AttributeError(name)
        import ray

        def ask(arguments, keywords):
            return ray.get(getattr(self.actor, name).remote(*arguments, **keywords))

        def call(*arguments, **keywords):
            try:
                with concurrent.futures.ThreadPoolExecutor(1) as thread:
                    return thread.submit(ask, arguments, keywords).result()
            except ray.exceptions.RayTaskError as error:
                raise (error.cause or error) from None
            except ray.exceptions.RayError as error:
                raise UserError(f"the process that keeps the results is gone ({first_line(error)}).") from error

        return call


def _from_anywhere(run: Run) -> Run:
    """The same run, whose pictures are found wherever a worker stands, where they are a folder or a file."""
    path = Path(run.data).expanduser()
    named = path.is_file() or (path.is_dir() and run.data != path.name)  # "cifar10" is a set, "./cifar10" a folder
    return dataclasses.replace(run, data=str(path.absolute())) if named else run


def _work(job: Job, home: Calls) -> Outcome:
    """What a task does."""
    return remote.work(job, home)


def _precision(environment: dict[str, str]) -> str:
    """What the task does that asks a node for its faster precision."""
    remote.prepare(environment)
    return device.settings().precision


class Driver:
    """Sees some runs through: sends them, sends again what died, shows how far they are."""

    def __init__(self, cluster: Cluster, home: Calls, jobs: dict[str, Job]):
        """`jobs` by the runs' names."""
        self.cluster, self.home, self.jobs = cluster, home, jobs
        self.board = Board({name: Standing(job.run.title) for name, job in jobs.items()})
        self.under_way: dict = {}  # reference -> name
        self.later: dict[str, float] = {}  # name -> when to send it again: another process is at work on it
        self.deaths: dict[str, tuple[int, int]] = {}  # name -> (deaths in a row, iterations at the last one)
        self.told: dict[str, dict] = {}  # name -> what its worker said last
        self.failed: list[str] = []
        self.stopped = False
        self.stuck = False

    def drive(self) -> None:
        """Until every run is done, has failed or, after Ctrl-C, is saved."""
        with Interruption() as interruption:
            for name in self.jobs:
                self._send(name)
            try:
                while self.under_way or (self.later and not self.stopped):
                    self._look()
                    if interruption.number and not self.stopped:
                        self._stop()
            finally:
                self.board.done()
        if interruption.number:
            raise Interrupted(interruption.number)
        if self.failed:
            raise SomeFailed(f"{len(self.failed)} of {len(self.jobs)} runs failed: {'; '.join(self.failed)}")

    def _send(self, name: str) -> None:
        self.under_way[self.cluster.submit(self.jobs[name], self.home)] = name

    def _look(self) -> None:
        """Take in what has ended and what is new; send what is due."""
        due = [name for name, at in self.later.items() if at <= time.monotonic() and not self.stopped]
        for name in due:
            del self.later[name]
            self._send(name)
        if self.under_way:
            references = list(self.under_way)
            ended, _ = self.cluster.ray.wait(references, num_returns=len(references), timeout=LOOK)
        else:
            ended = []
            time.sleep(LOOK)
        self._hear()
        for reference in ended:
            self._end(self.under_way.pop(reference), self.cluster.outcome(reference, self.board.note))
        self._notice_a_lack()
        self.board.show()

    def _hear(self) -> None:
        told, notes = self.home.news()
        self.told = {name: news for name, news in told.items() if news["attempt"] == self.jobs[name].attempt}
        for name in self.under_way.values():
            if name in self.told:
                row, news = self.board.rows[name], told[name]
                row.state, row.text = "training", f"{news.get('text', '')}  on {news['node']}"
        for note in notes:
            self.board.note(note)

    def _end(self, name: str, outcome: Outcome) -> None:
        """Act on how a worker ended."""
        row = self.board.rows[name]
        if outcome.status == "died":
            self._bury(name, outcome.text)
        elif outcome.status == "failed":
            self._fail(name, f"{outcome.text}" + (f" (on {outcome.node})" if outcome.node else ""))
        elif outcome.status == "done" or self.stopped:
            row.state, row.text = ("finished" if outcome.status == "done" else "stopped"), ""
            self.home.end(name)
        elif outcome.status == "held":
            row.state, row.text = "waiting", outcome.text
            self.later[name] = time.monotonic() + AGAIN
        else:  # a signal to the worker alone
            self._again(name)

    def _bury(self, name: str, why: str) -> None:
        """Its worker or its node died."""
        news = self.told.get(name, {})
        come, where = news.get("iteration", 0), news.get("node", "a node")
        before, reached = self.deaths.get(name, (0, -1))
        count = before + 1 if come <= reached else 1
        self.deaths[name] = (count, max(come, reached))
        if self.stopped:
            self.board.rows[name].state = "stopped"
            self.home.end(name)
        elif count >= DEATHS:
            self._fail(name, f"its worker died {count} times without getting further, last on {where} ({why})")
        else:
            title = self.jobs[name].run.title
            self.board.note(f"{title}: its worker on {where} died, and the run goes on from its checkpoint ({why})")
            self._again(name)

    def _again(self, name: str) -> None:
        self.jobs[name] = dataclasses.replace(self.jobs[name], attempt=self.jobs[name].attempt + 1)
        self.board.rows[name].state, self.board.rows[name].text = "waiting", ""
        self._send(name)

    def _fail(self, name: str, why: str) -> None:
        self.board.rows[name].state, self.board.rows[name].text = "failed", why
        line = f"{self.jobs[name].run.title}: {why}"
        self.failed.append(line)
        self.board.note(line)
        self.home.end(name)

    def _notice_a_lack(self) -> None:
        """Say once when nodes have gone and none is left that could take a run."""
        waiting = any(self.board.rows[name].state == "waiting" for name in self.under_way.values())
        stuck = waiting and not self.cluster.fits()
        if stuck and not self.stuck:
            self.board.note(f"no node is left that can give a run {self.cluster.needs}: waiting for one.")
        self.stuck = stuck

    def _stop(self) -> None:
        """Have what is under way save itself, and nothing else begun."""
        self.stopped = True
        self.home.stop()
        for reference, name in self.under_way.items():
            if name not in self.told:
                self.cluster.ray.cancel(reference)
        self.board.note("stopping: what is under way saves itself; the same command goes on from there.")


def _import():
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise UserError(
            f"--on ray needs Ray ({first_line(error)}): pip install 'resnet-keras[cluster]', or pip install ray."
        ) from None
    return ray


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and "/" not in host and port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(
            f"--on ray:{address}: give ray to start Ray here, ray:HOST:PORT for the head of a cluster, or ray:auto for "
            "the one that runs on this machine."
        )
