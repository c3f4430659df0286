"""Figures: what is drawn, at which bytes."""

import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_keras.errors import UserError
from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import figures, profiles, records, selection
from resnet_keras.report.curves import Arrangement, Curve, curves, mean_over_seeds
from resnet_keras.report.selection import Row
from resnet_keras.store import Store
from tests.report.synthetic import write_run


def errors(*points):
    return np.array(points, float)


def seed(train, test):
    return {"train_error": errors(*train), "test_error": errors(*test)}


TWO = [
    Curve("plain-20", "Plain networks", 0, (seed([(50, 80), (100, 40)], [(100, 45)]),), (50,)),
    Curve("plain-56", "Plain networks", 1, (seed([(50, 90), (100, 60)], [(100, 65)]),), (50,)),
]
PANELS = ("Plain networks", "Residual networks")


def groups_of(root, experiment="degradation"):
    settings, problems = selection.select(EXPERIMENTS[experiment], records.read(Store(root))[0])
    assert not problems
    ((setting, groups),) = settings.items()
    rows = {*selection.planned_rows(EXPERIMENTS[experiment], setting), *(group.row for group in groups)}
    return groups, Arrangement(tuple(sorted(rows, key=lambda row: row.order)))


def test_the_mean_is_taken_where_all_seeds_are():
    seeds = [errors((50, 10), (100, 20)), errors((50, 30), (75, 99), (100, 40))]
    assert mean_over_seeds(seeds).tolist() == [[50, 20], [100, 30]]


def drawn_lines(axis):
    """Iterations and percent of every line of data, with its dashes."""
    return [
        (line.get_xydata().tolist(), line.get_linestyle())
        for line in axis.get_lines()
        if len(line.get_xdata()) and line.get_zorder()
    ]


def test_each_number_stands_at_its_iteration():
    plain, residual = figures.learning_curves(TWO, PANELS, "title").axes
    assert ([[50, 80], [100, 40]], "--") in drawn_lines(plain)
    assert ([[100, 45]], "-") in drawn_lines(plain)
    assert len(drawn_lines(plain)) == 4
    assert plain.get_ylim() == residual.get_ylim()
    assert [text.get_text() for text in residual.texts] == ["not run"]
    assert {text.get_text() for text in plain.texts} == {"plain-20  45.0", "plain-56  65.0"}


def test_every_seed_is_drawn_and_their_mean():
    three = tuple(seed([(50, 80 + i), (100, 40 + i)], [(100, 45 + i)]) for i in range(3))
    (axis,) = figures.learning_curves([Curve("x", "p", 0, three)], ("p",), "title").axes
    thin = [collection.get_segments() for collection in axis.collections]
    assert [len(segments) for segments in thin] == [3, 3]
    assert ([[50, 81], [100, 41]], "--") in drawn_lines(axis)


def test_hues_are_a_depths_own():
    rows = [Row(f"{kind}{depth}", "none") for kind in ("plain", "resnet") for depth in (20, 32, 44, 56, 110)]
    arrangement = Arrangement(tuple(rows))
    assert arrangement.panels == ("Plain networks", "Residual networks")
    hues = [arrangement.hue(row) for row in rows]
    assert hues[:5] == hues[5:] and len(set(hues)) == 5 and max(hues) < len(figures.HUES)


def test_variants_of_a_depth_share_a_panel():
    rows = [Row("plain20", "none"), Row("resnet20", "A"), Row("resnet20", "B"), Row("plain56", "none")]
    arrangement = Arrangement((*rows, Row("plain56", "none", "batch_norm=False")))
    assert arrangement.panels == ("20 layers", "56 layers")
    assert [arrangement.label(row) for row in arrangement.rows] == [
        "plain", "ResNet A", "ResNet B", "plain", "plain without BN",
    ]  # fmt: skip
    assert [arrangement.title(row) for row in arrangement.rows] == [
        "plain-20", "ResNet-20 A", "ResNet-20 B", "plain-56", "plain-56 without BN",
    ]  # fmt: skip
    assert arrangement.hue(rows[0]) == arrangement.hue(rows[3])


@given(st.lists(st.floats(0, 100), max_size=8))
def test_labels_do_not_touch(places):
    moved = figures.apart(sorted(places), 5.0, 0.0, 100.0)
    assert all(b - a > 4.9 for a, b in itertools.pairwise(moved))


@pytest.mark.parametrize("shape", figures.SHAPES)
def test_a_figure_has_the_same_bytes_each_time(shape):
    first, second = (figures.learning_curves(TWO, PANELS, "title", shape) for _ in range(2))
    assert figures.svg(first) == figures.svg(second)
    assert figures.png(first) == figures.png(second)
    text = figures.svg(first).decode()
    assert "<dc:date>" not in text and "Matplotlib v" not in text


def test_a_readers_own_style_changes_nothing():
    import matplotlib

    plain = figures.png(figures.learning_curves(TWO, PANELS, "title"))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "none"}):
        assert figures.png(figures.learning_curves(TWO, PANELS, "title")) == plain


def test_a_wide_figure_is_sharp_at_900_pixels():
    picture = Image.open(io.BytesIO(figures.png(figures.learning_curves(TWO, PANELS, "title"))))
    assert picture.width == 1800
    # Nothing is cut off: the outermost pixels are all background.
    pixels = np.asarray(picture.convert("L"))
    assert min(edge.min() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])) == 255


@pytest.mark.parametrize("shape", figures.SHAPES)
def test_the_longest_name_has_room_at_the_end_of_its_line(shape):
    lines = [Curve("ResNet-1202", "Residual networks", 1, (seed([(50, 90)], [(100, 88.8)]),))]
    pixels = np.asarray(
        Image.open(io.BytesIO(figures.png(figures.learning_curves(lines, PANELS, "t", shape)))).convert("L")
    )
    assert pixels[:, -1].min() == 255  # a name that is cut off reaches the last pixel


def test_a_plain_and_a_residual_network_differ_without_bn_too(tmp_path):
    networks = [("plain20", True), ("resnet20", True), ("plain20", False), ("resnet20", False)]
    for network, batch_norm in networks:
        name = write_run(tmp_path, network, batch_norm=batch_norm)
        table = tmp_path / "runs" / name / "gradients.csv"
        table.write_text("iteration,layer,gradient_norm,weight_norm\n0,1,2.0,1.0\n0,2,3.0,1.0\n")
    lines = profiles.lines(*groups_of(tmp_path, "gradients"), "gradients")[0]
    assert len({(line.hue, line.dashes) for line in lines}) == 4


@pytest.mark.parametrize(
    ("value", "told"), [(1e20, "10²⁰"), (1e-4, "10⁻⁴"), (100.0, "100"), (0.1, "0.1"), (20_000.0, "20000")]
)
def test_ticks_far_from_one_are_short(value, told):
    assert figures._short(value) == told


@pytest.mark.parametrize("name", ["$x^2$ \\frac", "<script>", "a & b", "%s {0}"])
def test_names_are_drawn_as_they_are(name):
    lines = [Curve(name, "p", 0, TWO[0].seeds)]
    svg = figures.svg(figures.learning_curves(lines, ("p",), name)).decode()
    assert "<script" not in svg and re.match(r"<\?xml", svg)


def places(svg: bytes) -> list[float]:
    """All numbers in the paths of a drawing."""
    paths = re.findall(r' d="([^"]*)"', re.sub(r"<defs>.*?</defs>", "", svg.decode(), flags=re.S))
    return [float(number) for path in paths for number in re.findall(r"-?\d+(?:\.\d+)?", path)]


@pytest.mark.parametrize("shape", figures.SHAPES)
def test_a_page_embeds_the_same_lines_in_fewer_bytes(shape):
    figure = figures.learning_curves(TWO, PANELS, "a & <b>", shape)
    whole, embedded = figures.svg(figure), figures.embedded(figure)
    assert len(embedded) < 0.6 * len(whole) and "a &amp; &lt;b&gt;" in embedded.decode()
    assert places(embedded) == pytest.approx(places(whole), abs=0.051)  # points, of which an inch has 72
    assert figures.svg(figure) == whole


def test_many_seeds_do_not_make_a_huge_file():
    draw = np.random.default_rng(0)
    steps = np.arange(1, 41) * 50.0
    many = tuple(
        {key: np.column_stack([steps, draw.uniform(20, 80, 40)]) for key in TWO[0].seeds[0]} for _ in range(1000)
    )
    assert len(figures.svg(figures.learning_curves([Curve("x", "p", 0, many)], ("p",), "t"))) < 1_000_000


def test_curves_are_those_of_the_history(tmp_path):
    name = write_run(tmp_path, "plain20", end=(30.0, 33.0))
    (curve,) = curves(*groups_of(tmp_path))
    history = Store(tmp_path).run(name).history
    assert curve.seeds[0]["train_error"].tolist() == history[["iteration", "train_error"]].to_numpy().tolist()
    tested = history[["iteration", "test_error"]].dropna()
    assert curve.seeds[0]["test_error"].tolist() == tested.to_numpy().tolist()
    assert len(tested) < len(history) and curve.drops == (1000, 1500)


MEASURED = {
    "responses": "layer,place,std,images\n1,a,2.0,9\n2,b,3.0,9\n3,c,1.0,9\n",
    "lesion": "lesion,block,place,grows,error\nnone,0,,False,8\ndelete,1,a,False,9\ndelete,2,b,True,30\n"
    "swap,1,a,False,10\n",
}
EXPECTED = {
    "responses": [[[1, 2], [2, 3], [3, 1]], [[1, 3], [2, 2], [3, 1]]],
    "lesion": [[[1, 9], [2, 30]], [[1, 10]]],
}


@pytest.mark.parametrize("measurement", MEASURED)
def test_a_measurement_is_drawn_along_the_network(tmp_path, measurement):
    name = write_run(tmp_path, "plain20")
    (tmp_path / "runs" / name / f"{measurement}.csv").write_text(MEASURED[measurement])
    panels = profiles.lines(*groups_of(tmp_path, measurement), measurement)
    assert [line.seeds[0].tolist() for (line,) in panels] == EXPECTED[measurement]
    figure = figures.profiles(panels, profiles.PROFILES[measurement], "title")
    assert len(figure.axes) == 2 and figures.svg(figure)


@pytest.mark.faults
def test_a_measurement_without_its_column_is_named(tmp_path):
    name = write_run(tmp_path, "plain20")
    (tmp_path / "runs" / name / "responses.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"responses\.csv of plain-20"):
        profiles.lines(*groups_of(tmp_path, "responses"), "responses")


def test_precisions_are_drawn_network_by_network(tmp_path):
    for precision in ("bfloat16", "float32"):
        write_run(tmp_path, "resnet20", precision=precision)
    groups, arrangement = groups_of(tmp_path, "precision")
    assert arrangement.panels == ("Plain-20", "ResNet-20")
    lines = curves(groups, arrangement)
    assert [(line.label, line.panel) for line in lines] == [("bfloat16", "ResNet-20"), ("float32", "ResNet-20")]
    assert lines[0].hue != lines[1].hue
