"""
JSON as it really comes: read strictly and fast, or leniently and piece by piece.

msgspec reads a clean body. What it refuses (NaN, lone surrogates, bad UTF-8, numbers without end, nesting
without end) is cut at its brackets, without recursion, so that one spoilt element costs itself alone.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Strings first, so that brackets inside them do not count. Possessive, as to remember where else a string
# might have ended would take a hundred bytes for each of its escapes.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]', re.DOTALL)
_PAIRS = {b"{": b"}", b"[": b"]"}
# Longer integers are kept as text: neither Python nor msgspec reads or writes them.
_MAX_INTEGER = 4300
MAX_DEPTH = 200
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


# What may stand between brackets, commas and colons, what a strict reader refuses included.
_SCALAR = re.compile(rb"true|false|null|-?(?:NaN|Infinity|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)")


class NumberText(str):
    """The text of a number that is none, or that no reader takes. It stands where no text was."""

    __slots__ = ()


def trimmed(body: bytes) -> bytes:
    """Give a text without the byte order mark and the blanks that may stand around it."""
    return body.removeprefix(_BYTE_ORDER_MARK).strip()


def check_grammar(body: bytes) -> None:
    """
    Raise ValueError unless this is JSON in its structure: what it is cut into is then what was meant.

    One quote too few shifts every string behind it, and brackets alone may still seem to match.
    """
    if body[:1] not in _PAIRS:
        raise ValueError("neither an object nor an array")
    open_brackets: list[bytes] = []
    # What stood last: nothing yet, an opening, a value (0), a comma, a colon, or a member's name (n).
    last, position = b"", 0
    for match in _TOKEN.finditer(body):
        token = match[0]
        if scalar := body[position : match.start()].strip():
            last = _next(last, b"0", open_brackets, is_fit=_SCALAR.fullmatch(scalar) is not None)
        position = match.end()
        last = _next(last, token[:1], open_brackets)
    if body[position:].strip() or open_brackets or last != b"0":
        raise ValueError("the end is missing")


def _next(last: bytes, kind: bytes, open_brackets: list[bytes], *, is_fit: bool = True) -> bytes:
    """Give what stands last once `kind` stands there too; a string is a name where a name is due."""
    inside = open_brackets[-1] if open_brackets else b""
    if kind in (b"]", b"}"):
        is_fit = is_fit and inside == kind and last in (b"0", b"[" if kind == b"]" else b"{")
        if is_fit:
            open_brackets.pop()
        kind = b"0"
    elif kind == b":":
        is_fit = is_fit and last == b"n"
    elif kind == b",":
        is_fit = is_fit and last == b"0" and bool(inside)
    elif inside == b"}" and last in (b"{", b","):
        is_fit, kind = is_fit and kind == b'"', b"n"
    else:
        is_fit = is_fit and last in ((b"",) if not inside else (b":",) if inside == b"}" else (b"[", b","))
        if kind in _PAIRS:
            open_brackets.append(_PAIRS[kind])
        else:
            kind = b"0"
    if not is_fit:
        raise ValueError(f"unexpected {kind.decode()} after {last.decode() or 'nothing'}")
    return kind


def split_array(body: bytes) -> list[bytes]:
    """Cut the text of an array into the texts of its elements. Raises ValueError if it is no whole array."""
    body = trimmed(body)
    elements = []
    start = 1
    for token, position in _cuts(body, b"["):
        element = body[start:position].strip()
        start = position + 1
        if element:
            elements.append(element)
        elif token == b"," or elements:
            raise ValueError(f"an element is missing at byte {position}")
    return elements


def split_object(body: bytes) -> dict[str, bytes]:
    """
    Cut the text of an object into the texts of its members; of two with one name the last one counts.

    Raises ValueError if it is no whole object.
    """
    body = trimmed(body)
    members: dict[str, bytes] = {}
    start, name = 1, None
    for token, position in _cuts(body, b"{"):
        piece = body[start:position].strip()
        start = position + 1
        if token == b":":
            name = loads(piece) if name is None else None
            if not isinstance(name, str):
                raise ValueError(f"a member has no name at byte {position}")
        elif name is not None and piece:
            members[name] = piece
            name = None
        elif token == b"," or piece or members:
            raise ValueError(f"a member has no value at byte {position}")
    return members


def _cuts(body: bytes, opening: bytes) -> Iterator[tuple[bytes, int]]:
    """Give each separator that stands directly inside the outermost brackets, and the closing bracket."""
    if body[:1] != opening:
        raise ValueError(f"expected {opening.decode()} at the start")
    open_brackets: list[bytes] = []
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in _PAIRS:
            open_brackets.append(_PAIRS[token])
        elif token in (b",", b":"):
            if len(open_brackets) == 1:
                yield token, match.start()
        elif token in (b"]", b"}"):
            if open_brackets.pop() != token:
                raise ValueError(f"unbalanced {token.decode()} at byte {match.start()}")
            if not open_brackets:
                yield token, match.start()
                if match.end() != len(body):
                    raise ValueError(f"something follows the end at byte {match.end()}")
                return
    raise ValueError("the end is missing")


def loads(text: bytes) -> Any:  # noqa: ANN401
    """
    Read JSON that a strict reader refuses.

    NaN, infinities, numbers too large for a double and integers of over 4,300 digits become NumberText;
    control characters in strings are taken; bytes that are no UTF-8 become lone surrogates (U+DC80 to
    U+DCFF), from which they can be told. Raises ValueError for what is no JSON, or nested too deeply.
    """
    try:
        return _LENIENT.decode(text.decode("utf-8", "surrogateescape"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits.lstrip("-")) <= _MAX_INTEGER else NumberText(digits)


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else NumberText(digits)


_LENIENT = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=NumberText, strict=False)


def storable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401
    """
    Copy a JSON value with U+FFFD for every character that no database takes.

    Raises ValueError if it is nested deeper than two hundred levels, which SQLite and Postgres refuse sooner
    or later.
    """
    if isinstance(value, NumberText):
        return value
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {_UNSTORABLE.sub("\ufffd", key): storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    return value


def is_shallow(value: Any, levels: int = MAX_DEPTH) -> bool:  # noqa: ANN401
    """Return whether a JSON value is nested no deeper than so many levels below an outermost one."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    nested = (item for item in items if isinstance(item, (dict, list)))
    return levels >= 0 and all(is_shallow(item, levels - 1) for item in nested)


def escaped(value: Any) -> str:  # noqa: ANN401
    """Write JSON in ASCII: every character that a database might refuse is an escape, and nothing is lost."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
