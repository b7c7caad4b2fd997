"""
CSV that Excel opens with a double click, with as little loss as possible.

What Excel does to a CSV file, according to its documentation: without a byte order mark it reads UTF-8 as
the code page of Windows. It splits columns at the list separator of the Windows region (`;` where numbers
have a decimal comma). It converts text that looks like a number, a date or a formula. Numbers keep 15
digits; a cell holds 32,767 characters (UTF-16 units), a sheet 1,048,576 rows. It has no time zones, and
keeps ISO 8601 with a zone as text. There is no `sep=` line, because Excel ignores the byte order mark in a
file with one.
"""

from __future__ import annotations

import dataclasses
import re
from typing import IO, TYPE_CHECKING, Any

from etl.catalog import ColumnType
from etl.export.writers import CsvWriter

if TYPE_CHECKING:
    import pandas as pd

    from etl.export.writers import Types

MAX_UNITS = 32_767
MAX_ROWS = 1_048_576
MAX_DIGITS = 15
CUT = " … [cut]"
# The decimal sign of a region follows from its list separator.
_DECIMAL_SIGNS = {",": ".", ";": ",", "\t": "."}

_FORMULA = re.compile(r"[\s\0]*[=+\-@＝＋－＠]")  # noqa: RUF001 - Excel also reads full-width signs as formulas
_MONTH = (
    "jan|ene|gen|feb|fév|fev|mar|mär|apr|avr|abr|may|mai|maj|mag|mei|jun|jui|giu|jul|lug|aug|aoû|ago|sep|set|"
    "oct|okt|ott|out|nov|dec|dez|déc|dic"
)
_CONVERTED = re.compile(
    # A number, an amount, a date or a time in digits.
    r"(?=.*\d)[\d\s.,:/()%'$€£¥-]+(?:e[+-]?\d+)?(?:\s*[ap]m?)?"
    # A date with the name of a month.
    rf"|(?:\d{{1,4}}[\s./-]*)?(?:{_MONTH})[^\W\d_]{{0,8}}\.?[\s./,-]*\d{{1,4}}(?:[\s./,-]+\d{{2,4}})?"
    rf"|\d{{1,4}}[\s./-]*(?:{_MONTH})[^\W\d_]{{0,8}}\.?"
    r"|true|false|wahr|falsch|vrai|faux|verdadero|falso|vero|waar|onwaar"
    r"|#(?:n/a|ref!|name\?|value!|num!|null!|div/0!)",
    re.IGNORECASE,
)
# The longest text literal that Excel accepts in a formula.
_MAX_LITERAL = 255


@dataclasses.dataclass(slots=True)
class ExcelLosses:
    """What exceeds the limits of Excel: truncated cells, and rows after the last row of a sheet."""

    cells: int = 0
    rows: int = 0

    def warnings(self) -> list[str]:
        """Return the warnings for the user."""
        found = []
        if self.cells:
            found.append(f"cells truncated to {MAX_UNITS:,} characters, the limit of Excel: {self.cells:,}")
        if self.rows:
            found.append(
                f"rows that Excel will not show, because a sheet holds {MAX_ROWS:,}: {self.rows:,}; "
                "export fewer with --since and --until, or several files with --partition-by"
            )
        return found


class ExcelWriter(CsvWriter):
    """
    Writes CSV for Excel: with a byte order mark, and timestamps as `2026-11-18 14:57:22`, in UTC.

    Text that Excel would convert to a number or a date is written as `="00042"`, and so are integers of
    more than 15 digits: only the result of a formula remains unchanged text. Text that starts like a
    formula gets an apostrophe in front. With the separator `;`, numbers have a decimal comma.
    """

    line_end = "\r\n"

    def __init__(self, file: IO[bytes], types: Types, *, separator: str, losses: ExcelLosses) -> None:
        self.separator, self._losses, self._rows = separator, losses, 1
        self._decimal_sign = _DECIMAL_SIGNS[separator]
        file.write(b"\xef\xbb\xbf")
        super().__init__(file, types)

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        super().write(frame)
        self._losses.rows += max(0, self._rows + len(frame) - max(self._rows, MAX_ROWS))
        self._rows += len(frame)

    def cells(self, column: pd.Series[Any], kind: ColumnType) -> list[str | None]:
        """Return the text of each cell, None for null."""
        texts = super().cells(column, kind)
        if kind is ColumnType.TIMESTAMP:
            return [None if text is None else f"{text[:10]} {text[11:19]}" for text in texts]
        if kind is ColumnType.DOUBLE:
            return [None if text is None else text.replace(".", self._decimal_sign) for text in texts]
        if kind is ColumnType.INTEGER:
            is_long = (text is not None and len(text.lstrip("-")) > MAX_DIGITS for text in texts)
            return [f'="{text}"' if long else text for text, long in zip(texts, is_long, strict=True)]
        if kind in {ColumnType.TEXT, ColumnType.JSON}:
            return [None if text is None else self._fitted(_as_text(text)) for text in texts]
        return texts

    def _fitted(self, text: str) -> str:
        if 2 * len(text) <= MAX_UNITS or len(encoded := text.encode("utf-16-le")) <= 2 * MAX_UNITS:
            return text
        self._losses.cells += 1
        # Half a surrogate pair at the end is dropped.
        return encoded[: 2 * (MAX_UNITS - len(CUT))].decode("utf-16-le", "ignore") + CUT


def _as_text(text: str) -> str:
    """Return the cell that Excel displays as this text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _FORMULA.match(text):
        return f"'{text}"
    if len(text) <= _MAX_LITERAL and _CONVERTED.fullmatch(text):
        return f'="{text}"'
    return text
