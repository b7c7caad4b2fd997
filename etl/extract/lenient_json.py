"""
JSON that a strict parser rejects: NaN, lone surrogates, invalid UTF-8, very long numbers, deep nesting.

The standard library's decoder finds where each element of an array, or each member of an object, ends. So an
invalid value affects only itself, as long as the text around it is JSON.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Longer integers are kept as text: neither Python nor msgspec reads or writes them.
_MAX_INTEGER_DIGITS = 4300
MAX_DEPTH = 200
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUSPECT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = re.compile(r"[ \t\n\r]*")
# A string, in which a backslash may stand before any character, or the leading zeros of a number.
_STRING_OR_ZEROS = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")|\b0+(?=\d)', re.DOTALL)
_ESCAPE = re.compile(r"\\.", re.DOTALL)
# Strings first, so that brackets inside them do not count.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)


def is_suspect(text: bytes) -> bool:
    """Return whether a string has escapes of characters that no database stores or msgspec lets pass."""
    # Searching for two bytes takes a tenth of the time of the regular expression.
    return b"\\u" in text and _SUSPECT.search(text) is not None


class NumberText(str):
    """The text of a number without a value (NaN) or too long to be parsed; not a string in the JSON."""

    __slots__ = ()


def trimmed(body: bytes) -> bytes:
    """Return a string without a byte order mark and without surrounding white space."""
    return body.removeprefix(_BYTE_ORDER_MARK).strip()


def split_array(body: bytes) -> list[bytes]:
    """Return the texts of the elements of an array. Raises ValueError if the body is not an array."""
    text = _decode(trimmed(body))
    return [_encode(text[start:end]) for _, start, end in _items(text, "[", "]")]


def split_object(body: bytes) -> dict[str, bytes]:
    """
    Return the texts of the members of an object by name; if a name occurs twice, the last one wins.

    Raises ValueError if the body is not an object.
    """
    text = _decode(trimmed(body))
    return {name: _encode(text[start:end]) for name, start, end in _items(text, "{", "}")}


def _items(text: str, opening: str, closing: str) -> list[tuple[str, int, int]]:
    """Return the name of each member of an object, empty for elements of an array, and where its value is."""
    try:
        return list(_iter_items(text, text, opening, closing))
    except ValueError:
        return list(_iter_items(text, _with_valid_scalars(text), opening, closing))


def _with_valid_scalars(text: str) -> str:
    """Return a string of the same length and structure, without invalid escapes and leading zeros."""

    def valid(match: re.Match[str]) -> str:
        return _ESCAPE.sub(r"\\n", match[1]) if match[1] else "1" * len(match[0])

    return _STRING_OR_ZEROS.sub(valid, text)


def _iter_items(text: str, valid: str, opening: str, closing: str) -> Iterator[tuple[str, int, int]]:
    """Yield the items of `text`, which are in the same places as those of `valid`."""
    if text[:1] != opening:
        raise ValueError(f"expected {opening} at the start")
    position = _skip_blanks(text, 1)
    is_empty = text[position : position + 1] == closing
    while not is_empty:
        name = ""
        if opening == "{":
            if text[position : position + 1] != '"':
                raise ValueError(f"expected the name of a member at character {position}")
            name, position = _LENIENT.raw_decode(text, position)
            position = _skip_mark(text, position, ":")
        end = _end_of(valid, position)
        yield name, position, end
        position = _skip_blanks(text, end)
        if text[position : position + 1] == closing:
            break
        position = _skip_mark(text, position, ",")
    if position + 1 != len(text):
        raise ValueError(f"unexpected text after the end at character {position + 1}")


def _end_of(text: str, start: int) -> int:
    """Return where the value ends that begins here; json.JSONDecodeError is a ValueError."""
    try:
        return _LENIENT.raw_decode(text, start)[1]
    except RecursionError:
        pass
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    raise ValueError(f"the end of the value at character {start} is missing")


def _skip_mark(text: str, position: int, mark: str) -> int:
    position = _skip_blanks(text, position)
    if text[position : position + 1] != mark:
        raise ValueError(f"expected {mark} at character {position}")
    return _skip_blanks(text, position + 1)


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _decode(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def loads(text: bytes) -> Any:  # noqa: ANN401
    """
    Return the value of a JSON text that a strict parser may reject.

    NaN, infinities, numbers too large for a double and integers of over 4,300 digits become NumberText;
    control characters in strings are accepted; invalid UTF-8 becomes lone surrogates (U+DC80 to U+DCFF),
    which stand for the bytes. Raises ValueError for a string that is not JSON, or is nested too deeply.
    """
    try:
        return _LENIENT.decode(_decode(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits.lstrip("-")) <= _MAX_INTEGER_DIGITS else NumberText(digits)


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else NumberText(digits)


_LENIENT = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=NumberText, strict=False)


def storable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401
    """
    Return a copy of a JSON value with U+FFFD for every character that no database stores.

    Raises ValueError if it is nested deeper than 200 levels: SQLite and Postgres have limits, too.
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
    """Return whether a JSON value is nested at most `levels` deep below the outermost level."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    nested = (item for item in items if isinstance(item, (dict, list)))
    return levels >= 0 and all(is_shallow(item, levels - 1) for item in nested)


def escaped(value: Any) -> str:  # noqa: ANN401
    """Return a value as JSON in ASCII: characters that a database might reject are escaped, not lost."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
