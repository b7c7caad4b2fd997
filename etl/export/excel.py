"""
CSV that Excel opens by a double click, without losing anything that can be kept.

What Excel does to a CSV file, by its documentation: without a byte order mark it takes UTF-8 for the code
page of Windows; it separates columns by the list separator of the Windows region (`;` where numbers have a
decimal comma); text that looks like a number, a date or a formula becomes one; numbers keep 15 digits; a cell
holds 32,767 characters (UTF-16 units), a sheet 1,048,576 rows. It has no time zones, and keeps ISO 8601 with
a zone as text. There is no `sep=` line here: after one Excel no longer heeds the byte order mark.
"""

from __future__ import annotations

import dataclasses
import re
from typing import IO, TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.export.writers import CsvWriter, cell_texts
from etl.models import Json, UtcDateTime

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.types import TypeEngine

    from etl.export.columns import Types

MAX_UNITS = 32_767
MAX_ROWS = 1_048_576
MAX_DIGITS = 15
CUT = " … [cut]"
# The region's decimal sign goes with its list separator.
_DECIMAL_SIGNS = {",": ".", ";": ",", "\t": "."}

_FORMULA = re.compile(r"[\s\0]*[=+\-@＝＋－＠]")  # noqa: RUF001 - Excel takes the wide ones for formulas as well
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
# So long may a text inside a formula be.
_MAX_LITERAL = 255


@dataclasses.dataclass(slots=True)
class ExcelLosses:
    """What did not fit into Excel: cells that were cut, and rows below the end of a sheet."""

    cells: int = 0
    rows: int = 0

    def warnings(self) -> list[str]:
        """Return what to tell the user."""
        found = []
        if self.cells:
            found.append(f"cells cut because Excel holds {MAX_UNITS:,} characters in each: {self.cells:,}")
        if self.rows:
            found.append(
                f"rows that Excel will leave out, as it reads {MAX_ROWS:,} of a file: {self.rows:,}; "
                "export fewer with --since and --until, or several files with --partition-by"
            )
        return found


class ExcelWriter(CsvWriter):
    """
    Writes CSV for Excel: with a byte order mark, and times as `2026-11-18 14:57:22`, in UTC.

    Text that Excel would take for a number or a date is written as `="00042"`, as are integers of more than
    15 digits: of what a CSV file may hold, only a formula gives text that stays as it is. Text that begins
    like a formula gets an apostrophe before it. With `;` between the columns, numbers have a decimal comma.
    """

    line_end = "\r\n"

    def __init__(self, file: IO[bytes], types: Types, *, separator: str, losses: ExcelLosses) -> None:
        self.separator, self._losses, self._rows = separator, losses, 1
        self._decimal_sign = _DECIMAL_SIGNS[separator]
        file.write(b"\xef\xbb\xbf")
        super().__init__(file, types)

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        super().write(frame)
        self._losses.rows += max(0, self._rows + len(frame) - max(self._rows, MAX_ROWS))
        self._rows += len(frame)

    def cells(self, column: pd.Series[Any], stored: TypeEngine[Any]) -> list[str | None]:
        """Return the text of each cell, None for null."""
        texts = cell_texts(column, stored)
        if isinstance(stored, UtcDateTime):
            return [None if text is None else f"{text[:10]} {text[11:19]}" for text in texts]
        if isinstance(stored, sa.Double):
            return [None if text is None else text.replace(".", self._decimal_sign) for text in texts]
        if isinstance(stored, sa.Integer):
            is_long = (text is not None and len(text.lstrip("-")) > MAX_DIGITS for text in texts)
            return [f'="{text}"' if long else text for text, long in zip(texts, is_long, strict=True)]
        if isinstance(stored, (sa.Text, Json)):
            return [None if text is None else self._fitted(_as_text(text)) for text in texts]
        return texts

    def _fitted(self, text: str) -> str:
        if 2 * len(text) <= MAX_UNITS or len(encoded := text.encode("utf-16-le")) <= 2 * MAX_UNITS:
            return text
        self._losses.cells += 1
        # Half of a surrogate pair is dropped.
        return encoded[: 2 * (MAX_UNITS - len(CUT))].decode("utf-16-le", "ignore") + CUT


def _as_text(text: str) -> str:
    """Return a cell that Excel shows as this text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _FORMULA.match(text):
        return f"'{text}"
    if len(text) <= _MAX_LITERAL and _CONVERTED.fullmatch(text):
        return f'="{text}"'
    return text
