"""Text for people: counted nouns, and text from elsewhere without control characters."""

from __future__ import annotations


def counted(number: int, noun: str, *, plural: str | None = None) -> str:
    """Return a number with its noun: `1 task`, `2,000 tasks`. The plural adds an `s` unless it is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def printable(text: str, *, instead: str = " ") -> str:
    """Return text whose control characters, which could change a terminal, are replaced."""
    return "".join(character if character.isprintable() else instead for character in text)
