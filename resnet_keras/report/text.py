"""Words and numbers for readers, safe where they are shown: run folders are copied between people."""

from __future__ import annotations

import re
import unicodedata

SPECIAL = re.compile(r"([\\`*{}\[\]<>#|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
KINDS = {"plain": "plain", "resnet": "ResNet", "vgg": "VGG"}


def plain(value) -> str:
    """`value` as one line without control, formatting or other invisible characters, safe in a terminal."""
    shown = str(value)
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(" " if unicodedata.category(mark)[0] in "CZ" else mark for mark in shown)
    return " ".join(shown.split())


def markdown(value) -> str:
    """`value` as one line of Markdown that means nothing but itself."""
    return SPECIAL.sub(r"\\\1", plain(value))


def inline_code(value) -> str:
    """`value` as code in a line of Markdown; as escaped text where it would end the code or a table's cell."""
    shown = plain(value)
    return markdown(shown) if set(shown) & set("`|") else f"`{shown}`"


def file_part(value) -> str:
    """`value` as a part of a file name: letters, digits, dot, underscore and dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(value)).strip(".-")[:60] or "unnamed"


def network_title(network: str) -> str:
    """As the paper writes it: resnet56 -> ResNet-56."""
    match = re.fullmatch(r"([a-z]+)(\d+)", network)
    return f"{KINDS[match[1]]}-{match[2]}" if match and match[1] in KINDS else plain(network)


def depth(network: str) -> int | None:
    """The depth at the end of a network's name."""
    match = re.search(r"(\d{1,5})$", network)
    return int(match[1]) if match else None


def number(value, digits: int = 2) -> str:
    """A number with this many decimals and thousands set off; an empty string for None."""
    return "" if value is None else f"{value:,.{digits}f}"


def spread(mean, std, digits: int = 2) -> str:
    """`mean ± std`, or the mean alone."""
    return number(mean, digits) + (f" ± {number(std, digits)}" if std is not None else "")


def listing(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def capital(sentence: str) -> str:
    """The sentence with its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]
