"""The paper's numbers, and other people's."""

from resnet_keras.report import paper


def test_every_number_has_a_source_and_a_place_and_stands_there_once():
    rows = paper.rows_of("paper.csv")
    keys = {tuple(row[k] for k in ("source", "place", "data", "network", "shortcut", "metric")) for row in rows}
    assert len(rows) == len(keys) > 90
    for row in rows:
        assert row["source"] and row["place"] and row["metric"] and None not in (*row, *row.values()), row
        assert float(row["value"]) > 0 and row["approximate"] in ("yes", "no"), row


def test_a_number_comes_with_how_exact_it_is():
    expected = {
        ("cifar10", "resnet56", "A"): "6.97",
        ("cifar10_jpeg", "resnet56", "A"): "6.97",
        ("cifar10", "resnet110", "A"): "6.61 ± 0.16",
        ("cifar10", "plain56", "none"): "≈ 13.5",
        ("cifar10", "plain110", "none"): "> 60",
        ("imagenet2012", "resnet34", "B"): "",
        ("cifar10", "resnet56", "B"): "",
        ("cifar100", "resnet56", "A"): "",
    }
    assert {arguments: paper.shown(*arguments) for arguments in expected} == expected
    assert paper.imagenet("Table 4")["resnet34", "B", "multiscale"] == {"top1": "21.84", "top5": "5.71"}
    assert [row["top1"] for row in paper.imagenet("Table 2").values()] == ["27.94", "27.88", "28.54", "25.03"]


def test_others_curves_cross_where_the_audit_found_it():
    table = paper.others()
    assert set(table["source"]) == {"a-martyn", "gluon-cv"} and set(table["kind"]) == {"plain", "residual"}
    assert table[table["iteration"] == 391]["note"].all(), "each log says where it comes from"
    assert paper.crossings() == [8602, 9775]
    assert 0.02 < paper.idle_hours()[1][20] < paper.idle_hours()[1][56] < 0.3, "hours of one class of CPU, and no gap"
