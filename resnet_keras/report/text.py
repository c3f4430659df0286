"""Words and numbers for readers, safe where they are shown: run folders are copied between people."""

import decimal
import math
import re
import unicodedata

SPECIAL = re.compile(r"([\\`*{}\[\]<>#|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
PRINTED = {"plain": "plain", "resnet": "ResNet", "vgg": "VGG"}
# What of a recipe differs from its scale's, in words that are read with ease; other fields go by their own names.
RECIPES = {
    "batch_norm=False": "without BN", "learning_rate=": "rate ", "decay_on=": "decay on ", "bn_batch=": "BN over ",
    "precision=": "",
}  # fmt: skip


def plain(value) -> str:
    """`value` as one line without control, formatting or other invisible characters, safe in a terminal."""
    shown = str(value)
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(" " if unicodedata.category(mark)[0] in "CZ" else mark for mark in shown)
    return " ".join(shown.split())


def markdown(value) -> str:
    """`value` as one line of Markdown that means nothing but itself."""
    return SPECIAL.sub(r"\\\1", plain(value))


def network_title(network: str) -> str:
    """As the paper writes it: resnet56 -> ResNet-56."""
    match = re.fullmatch(r"([a-z]+)(\d+)", network)
    return f"{PRINTED[match[1]]}-{match[2]}" if match and match[1] in PRINTED else plain(network)


def title(network: str, shortcut: str = "A", recipe: str = "") -> str:
    """A network's name in a table: plain-56, ResNet-56 B, or plain-56 without BN."""
    for field, words in RECIPES.items():
        recipe = recipe.replace(field, words)
    option = "" if shortcut in ("A", "none") else shortcut
    return " ".join(filter(None, [network_title(network), option, plain(recipe)]))


def number(value, digits: int = 2, sign: str = "") -> str:
    """A number with this many decimals, halves rounded up, and thousands set off; an empty string for None and NaN."""
    if value is None or math.isnan(value):
        return ""
    # Ten digits first: a mean of stored decimals may miss its half by the last bit of a float.
    places = decimal.Decimal(1).scaleb(-digits)
    return f"{decimal.Decimal(f'{value:.10f}').quantize(places, decimal.ROUND_HALF_UP):{sign},}"


def spread(mean, std, digits: int = 2) -> str:
    """`mean ± std`, or the mean alone."""
    return number(mean, digits) + (f" ± {number(std, digits)}" if number(std, digits) else "")


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent: 478, 2.41, 0.135."""
    size = math.floor(math.log10(abs(value))) if value and value == value else 0
    return number(value, max(0, digits - 1 - size))


def listing(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
