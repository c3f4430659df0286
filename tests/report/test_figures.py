"""Figures: what is drawn, titled by what it shows, at the same bytes every time."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from resnet_keras import report
from resnet_keras.report import crossing, figures, runs, style
from resnet_keras.store import Store
from tests.report.synthetic import PAIRS, write_run

RESPONSES = "\n".join(["layer,std,std_image", *(f"{i},{{0}}.{i},{i}" for i in range(1, 5))])
GRADIENTS = "\n".join(f"{at},{i},{10.0 ** (3 - i)},5" for at in (0, 16, 2000) for i in range(1, 5))
GRID = "\n".join(f"{x},{y},{0.4 + x * x + y * y}" for x in (-1, 0, 1) for y in (-1, 0, 1))
MEASURED = {
    "gradients": f"iteration,layer,gradient_norm,weight_norm\n{GRADIENTS}",
    "start": "iteration,weight_norm\n0,5.5\n1,10\n2,337\n", "surface": f"x,y,cross_entropy\n{GRID}\n",
}  # fmt: skip
LESIONS = "lesion,block,grows,error\nnone,0,False,{0}\ndelete,1,False,{1}\ndelete,2,True,{1}\nswap,1,False,{1}"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Runs that can answer every figure's question, with a data set's name that is markup."""
    root, named = tmp_path_factory.mktemp("results"), {"data": "cifar10_jpeg", "title": "$x^2 <b> 猫"}
    for network, end, seed in [(*pair, seed) for pair in PAIRS.items() for seed in range(3)]:
        folder = root / "runs" / write_run(root, network, **named, seed=seed, end=(end + seed, end + 1))
        varying = {"responses": RESPONSES.format(seed), "lesion": LESIONS.format(end, end + (2, 20)["p" in network])}
        for name, content in {**MEASURED, **varying}.items():
            (folder / f"{name}.csv").write_text(content)
        for other in (seed, seed + 3):
            write_run(root, network, **named, seed=other, learning_rate=0.02, end=(end, end))
    for seed, network in [(0, "resnet20"), (0, "resnet56"), *((seed, "plain56") for seed in range(28))]:  # most of all
        write_run(root, network, **named, precision="bfloat16", learning_rate=0.05, seed=seed, end=(30, 30))
    for shortcut in "BC":
        write_run(root, "resnet56", **named, shortcut=shortcut, end=(34, 34))
    for scale, which, end in (("short", "bfloat16", 31), ("medium", "bfloat16", 40), ("medium", "float32", 20)):
        write_run(root, "plain20", **named, scale=scale, precision=which, end=(end, end))
    return Store(root), runs.frame(Store(root))


TITLES = {
    "crossing": "Too early to tell", "curves": "More layers harm a plain network", "depth": "Depth breaks a plain",
    "rate": "ResNet-56 less ResNet-20, points of training error (seeds): +9.0 at 0.1 (3) and +9.0 at 0.02 (6)",
    "shortcuts": "Any shortcut beats none", "lesion": "Without one block",
    "responses": "Median response of a layer, run by run: plain 0.25 to 2.25 and residual 0.25 to 2.25",
    "gradients": "Gradients of plain-56 do not vanish", "surface": "The loss around trained networks",
    "precision": "bfloat16 less float32, points: +0.0 (plain-20); seeds overlap",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted({*report.FIGURES.values(), "crossing"}))
def test_every_figure_says_what_it_shows_and_nothing_is_cut_off(full, name, tmp_path):
    for shape, (width, *_) in style.SHAPES.items():
        figure = report.draw_figure(*full, name, shape=shape)
        assert figure.get_suptitle().replace("\n", " ").startswith(TITLES[name])
        assert "$x^2 <b> 猫" in figure.get_supxlabel().replace("\n", " "), "a name is drawn as it is"
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a sign that no font has gives none
            content = style.png(figure)
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert len(content) < 150_000 and pixels.shape[1] == round(160 * width)
        assert min(edge.min() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])) > 250
    write_run(tmp_path, "plain20")
    for store in (Store(tmp_path), Store(tmp_path / "none")):
        assert report.draw_figure(store, runs.frame(store), name) is None, "one run answers nothing"


def test_titles_follow_the_numbers(tmp_path):
    for network, end in {"plain20": 70, "plain56": 30, "resnet20": 35, "resnet56": 26}.items():
        write_run(tmp_path, network, data="cifar10_jpeg", end=(end, end))
    frame = runs.frame(store := Store(tmp_path))
    titles = [report.draw_figure(store, frame, name).get_suptitle() for name in ("crossing", "curves", "depth")]
    assert titles[0].startswith("ResNet-56 is behind ResNet-20 in short")
    assert titles[1:] == ["Training and test error over iterations", "Test error over depth"]


def test_curves_bars_and_gaps_are_the_numbers(full):
    store, frame = full
    history = runs.histories(store, frame[(frame["network"] == "plain56") & (frame["recipe"] == "")])
    mean = history.groupby("iteration")["train_error"].mean()
    drawn = [line.get_xydata() for line in report.draw_figure(store, frame, "curves").axes[0].get_lines()]
    assert any(len(points) == len(mean) and np.allclose(points, mean.reset_index()) for points in drawn)
    rates = report.draw_figure(store, frame, "rate")
    drawn = [list(line.get_ydata()) for line in rates.axes[1].get_lines()]
    assert [26, 30, 27] in drawn and [35, 30, 36] in drawn and {2, 3} == {*map(len, drawn)} - {0, 1}
    assert "float32. Points" in (words := rates.get_supxlabel()) and words.endswith("In bfloat16: at 0.05.")
    responses = report.draw_figure(store, frame, "responses").axes[1].get_lines()
    assert [line.get_linewidth() for line in responses if list(line.get_ydata()) == [1, 2, 3, 4]] == [0.9, 0.9]
    bars = (bar for axis in report.draw_figure(store, frame, "lesion").axes for bar in axis.patches)
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(70, 20), (70, 20), (35, 2), (35, 2)]
    own = figures.usual(frame).query("kind == 'residual' and seed == 1")
    errors = runs.histories(store, own).pivot(index="iteration", columns="depth", values="train_error")
    expected = (errors[56] - errors[20]).loc[650:1000].mean()  # eight intervals of 50 make some 391 iterations
    assert crossing.gap_while_training(store, own)[1000] == pytest.approx(expected)


def test_the_race_is_a_small_animation(full):
    picture = Image.open(file := io.BytesIO(report.draw_figure(*full, "race", frames=4)))
    assert (picture.format, picture.n_frames) == ("GIF", 4) and len(file.getvalue()) < 100_000
