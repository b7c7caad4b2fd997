# ruff: noqa: RUF001
"""CSV for Excel, read by a model of how Excel opens it."""

from __future__ import annotations

import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.catalog import ColumnType
from etl.export import excel
from etl.export.excel import MAX_UNITS, ExcelLosses, ExcelWriter

MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
# How Excel converts text, in a region with the decimal sign D.
CONVERTED = {
    "number": r"[$(-]?\d[\d\s]*(D\d+)?(e[+-]?\d+)?[)%€ ]*",
    "date": rf"\d{{4}}-\d\d-\d\d( \d\d:\d\d:\d\d)?|\d{{1,4}}[-/.:]\d{{1,2}}([-/.:]\d{{1,4}})?"
    rf"|\d+[ .-]*{MONTH}|{MONTH}[ .,-]*\d+",
    "boolean": "true|false|wahr|falsch|vrai|faux",
    "formula": r"[=+\-@＝＋－＠](?s:.)*",
}


def written(values: list, kind, *, separator: str = ",", losses: ExcelLosses | None = None) -> bytes:
    """Return the file with one column of values and a second column."""
    file = io.BytesIO()
    types = {"it": kind, "behind": ColumnType.INTEGER}
    writer = ExcelWriter(file, types, separator=separator, losses=losses or ExcelLosses())
    dtype = {"text": "string", "timestamp": "datetime64[us, UTC]", "day": "datetime64[us, UTC]"}
    dtype |= {"double precision": "float64", "integer": "Int64", "boolean": "boolean", "json": "object"}
    behind = pd.array([7] * len(values), dtype="Int64")
    writer.write(pd.DataFrame({"it": pd.Series(values, dtype=dtype[kind]), "behind": behind}))
    writer.close()
    return file.getvalue()


def opened(data: bytes, *, separator: str = ",", decimal: str = ".") -> list[object]:
    """
    Return the cells of the first column as Excel reads them with this list separator and decimal sign.

    Text is a string; a cell that Excel converts is a pair of the new type and the original text.
    """
    assert data.startswith(b"\xef\xbb\xbf"), "without a byte order mark Excel guesses the code page"
    rows = list(csv.reader(io.StringIO(data[3:].decode(), newline=""), delimiter=separator))
    assert {len(row) for row in rows} == {2}
    assert [row[1] for row in rows] == ["behind", *["7"] * (len(rows) - 1)]
    return [taken(row[0], decimal) for row in rows[1:]]


def taken(cell: str, decimal: str) -> object:
    assert len(cell.encode("utf-16-le")) // 2 <= MAX_UNITS
    if literal := re.fullmatch(r'="((?:[^"]|"")*)"', cell):
        assert len(literal[1]) <= 255
        return literal[1].replace('""', '"')
    for kind, pattern in CONVERTED.items():
        if re.fullmatch(pattern.replace("D", re.escape(decimal)), cell.strip(), re.IGNORECASE):
            return (kind, cell)
    return cell


KEPT = [
    "00042", "0", "7", "9007199254740993123", "1234567890123456", "1e5", "12E34", "0.10", "1,5", "1.000,00",
    "5%", "1/2", "1-2", "3.4", "2026-06-26", "26.06.2026", "12:30", "5 PM", "MARCH1", "Mar 5", "5 may",
    "Sep-2026", "TRUE", "false", "wahr", " 42 ", "(5)", "$5", "5 €", "1\u00a0000", "user-7", "Größe",
    "日本語", "🎬", "a;b,c\td", 'say "hi"', "one\ntwo", "", "0b43d934-5529-44c2-b0b5-0b0689c31952",
    "1 2 3",
]  # fmt: skip


@pytest.mark.parametrize("separator, decimal", [(",", "."), (";", ","), ("\t", ".")])
def test_text_remains_text(separator, decimal):
    data = written(KEPT, ColumnType.TEXT, separator=separator)
    assert opened(data, separator=separator, decimal=decimal) == KEPT


def test_formula_like_text_is_escaped():
    for text in (
        "- Et toi ?",
        "=1+1",
        "+49 170",
        "@me",
        "-1",
        " =1",
        "\t=1",
        "\n=1",
        "＝1+1",
        '=cmd|"/c calc"!A1',
    ):
        assert opened(written([text], ColumnType.TEXT)) == [f"'{text}"]
    assert opened(written(["a - b", "a=b", "'"], ColumnType.TEXT)) == ["a - b", "a=b", "'"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)))
@example(['"=', '="1"', '=""1""'])
def test_arbitrary_text_is_never_executed_or_converted(texts):
    for text, cell in zip(texts, opened(written(texts, ColumnType.TEXT)), strict=True):
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        assert cell in (plain, f"'{plain}")


def test_timestamps_and_days_open_as_dates():
    moments = pd.to_datetime(
        ["2026-11-18T14:57:22.957Z", None, "2026-01-01T00:00:00Z"], format="ISO8601", utc=True
    )
    assert opened(written(list(moments), ColumnType.TIMESTAMP)) == [
        ("date", "2026-11-18 14:57:22"), "", ("date", "2026-01-01 00:00:00"),
    ]  # fmt: skip
    assert opened(written(list(moments), ColumnType.DAY)) == [
        ("date", "2026-11-18"),
        "",
        ("date", "2026-01-01"),
    ]


def test_numbers_use_regional_decimal_separator():
    numbers = [0.5, -12.25, None, 1e-07, 3.0]
    shown = [("number", "0.5"), ("number", "-12.25"), "", ("number", "1e-07"), ("number", "3.0")]
    assert opened(written(numbers, ColumnType.DOUBLE)) == shown
    comma = [cell if isinstance(cell, str) else (cell[0], cell[1].replace(".", ",")) for cell in shown]
    assert opened(written(numbers, ColumnType.DOUBLE, separator=";"), separator=";", decimal=",") == comma
    integers = [5, -5, None, 999_999_999_999_999, 1_000_000_000_000_000, -(2**63)]
    assert opened(written(integers, ColumnType.INTEGER)) == [
        ("number", "5"), ("number", "-5"), "", ("number", "999999999999999"), "1000000000000000",
        "-9223372036854775808",
    ]  # fmt: skip


def test_json_and_booleans_are_readable():
    documents = [{"id": 9007199254740993123, "t": "é"}, [1], "00042", 12345678901234567890, None]
    assert opened(written(documents, ColumnType.JSON)) == [
        '{"id":9007199254740993123,"t":"é"}', "[1]", '"00042"', "12345678901234567890", "",
    ]  # fmt: skip
    assert opened(written([True, False, None], ColumnType.BOOLEAN)) == [
        ("boolean", "true"),
        ("boolean", "false"),
        "",
    ]


def test_overlong_cells_are_truncated_and_counted():
    texts = ["x" * MAX_UNITS, "x" * (MAX_UNITS + 1), "🎬" * (MAX_UNITS // 2), "🎬" * 20_000, "-" * 40_000]
    losses = ExcelLosses()
    cells = opened(written(texts, ColumnType.TEXT, losses=losses))
    assert losses.cells == 3
    assert losses.warnings() == ["cells truncated to 32,767 characters, the limit of Excel: 3"]
    assert cells[0] == texts[0]
    assert cells[2] == texts[2]
    for place in (1, 3, 4):
        kept = str(cells[place]).removesuffix(" … [cut]")
        assert kept != cells[place]
        assert f"'{texts[place]}".startswith(kept) or texts[place].startswith(kept)
        assert len(str(cells[place]).encode("utf-16-le")) // 2 in {MAX_UNITS, MAX_UNITS - 1}


def test_rows_beyond_excel_limit_are_counted(monkeypatch):
    monkeypatch.setattr(excel, "MAX_ROWS", 6)
    for number, lost in ((5, 0), (6, 1), (9, 4)):
        losses = ExcelLosses()
        writer = ExcelWriter(io.BytesIO(), {"it": ColumnType.INTEGER}, separator=",", losses=losses)
        for start in range(0, number, 2):
            values = [1] * min(2, number - start)
            writer.write(pd.DataFrame({"it": pd.array(values, dtype="Int64")}))
        assert losses.rows == lost
        assert bool(losses.warnings()) == bool(lost)
