"""Words from run folders do no harm where they are shown, and halves are rounded up."""

from resnet_keras.report import style


def test_names_steer_no_terminal_and_are_no_markup():
    assert style.plain("a\x1b[31mred\x07\r\nb\u202ecod\u200bexe") == "a [31mred b cod exe"
    assert style.markdown("a|b <img src=x> `c` **d** [e](f)") == r"a\|b \<img src=x\> \`c\` \*\*d\*\* \[e\](f)"
    assert style.markdown("cifar10_jpeg _x_") == r"cifar10_jpeg \_x\_"


def test_networks_go_by_the_papers_names():
    expected = {
        ("resnet56",): "ResNet-56", ("plain20", "none"): "plain-20", ("resnet34", "B"): "ResNet-34 B",
        ("<b>1",): "<b>1", ("plain56", "none", "batch_norm=False"): "plain-56 without BN",
        ("resnet20", "A", "learning_rate=0.05, bn_batch=64"): "ResNet-20 rate 0.05, BN over 64",
    }  # fmt: skip
    assert {arguments: style.title(*arguments) for arguments in expected} == expected


def test_numbers_and_lists():
    halves = {
        (55.65, 1): "55.7", (43.05, 1): "43.1", (0.275, 2): "0.28", (-1.25, 1): "-1.3", ((30.5 + 30.6) / 2, 1): "30.6",
        (1234567.891, 1): "1,234,567.9", (None, 2): "", (float("nan"), 2): "",
    }  # fmt: skip
    assert {arguments: style.number(*arguments) for arguments in halves} == halves
    assert (style.spread(6.61, 0.16), style.spread(6.61, None)) == ("6.61 ± 0.16", "6.61")
    assert [style.significant(value) for value in (478.15, 2.408, 0.13591, 4782)] == ["478", "2.41", "0.136", "4,782"]
    assert [style.listing(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
