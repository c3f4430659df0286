"""Words from run folders do no harm where they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_keras.report import text


@given(st.text(max_size=60))
def test_plain_text_is_one_printable_line(value):
    shown = text.plain(value)
    assert shown.isprintable() and shown == shown.strip()


def test_a_terminal_is_not_steered():
    assert text.plain("a\x1b[31mred\x07\r\nb\u202ecod\u200bexe") == "a [31mred b cod exe"


def test_markdown_says_what_it_says():
    assert text.markdown("a|b <img src=x> `c` **d** [e](f)") == r"a\|b \<img src=x\> \`c\` \*\*d\*\* \[e\](f)"
    assert text.markdown("cifar10_jpeg _x_") == r"cifar10_jpeg \_x\_"
    assert text.inline_code("a b") == "`a b`"
    assert "`" not in text.inline_code("a`b").replace(r"\`", "")


@given(st.text(max_size=80))
def test_file_parts_stay_in_their_folder(value):
    part = text.file_part(value)
    assert part and "/" not in part and not part.startswith(".") and part.isascii()


@pytest.mark.parametrize(
    ("network", "title"),
    [("resnet56", "ResNet-56"), ("plain20", "plain-20"), ("vgg16", "VGG-16"), ("<b>1", "<b>1")],
)
def test_networks_go_by_the_papers_names(network, title):
    assert text.network_title(network) == title


def test_lists_and_numbers():
    assert [text.listing(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert text.number(1234567.891, 1) == "1,234,567.9" and text.number(None) == ""
    assert text.spread(6.61, 0.16) == "6.61 ± 0.16" and text.spread(6.61, None) == "6.61"
