"""
The file formats: each writer appends frames to an open file.

CSV and NDJSON are not left to pandas. Its CSV cannot tell empty text (`""`) from null (nothing between the
commas), and does not quote a carriage return. Its JSON rounds floats to 15 digits and escapes every slash,
and takes twice as long.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from etl.catalog import ColumnType
from etl.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    # The columns of a file.
    Types: TypeAlias = Mapping[str, ColumnType]

_JSON = msgspec.json.Encoder()


class Writer:
    """Writes the rows of one file, which is incomplete before `close`."""

    def __init__(self, file: IO[bytes], types: Types) -> None:
        self._file, self._types = file, types

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Complete the file and leave it open."""


class CsvWriter(Writer):
    """
    Writes a header and a line for each row; cells are quoted only where necessary.

    Null is an empty cell, empty text is `""`. Timestamps are ISO 8601 in UTC, booleans `true` and `false`.
    """

    separator = ","
    line_end = "\n"

    def __init__(self, file: IO[bytes], types: Types) -> None:
        super().__init__(file, types)
        self._must_be_quoted = re.compile(f'[{self.separator}"\r\n]').search
        self._write_lines([list(types)])

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        columns = [self.cells(frame[name], kind) for name, kind in self._types.items()]
        self._write_lines(zip(*columns, strict=True))

    def cells(self, column: pd.Series[Any], kind: ColumnType) -> list[str | None]:
        """Return the text of each cell, None for null."""
        as_text = _CELLS.get(kind, str)
        return [None if value is None else as_text(value) for value in _plain_values(column, kind)]

    def _quoted(self, text: str | None) -> str:
        if text is None:
            return ""
        if text and not self._must_be_quoted(text):
            return text
        return '"' + text.replace('"', '""') + '"'

    def _write_lines(self, rows: Iterable[Sequence[str | None]]) -> None:
        lines = (f"{self.separator.join(map(self._quoted, row))}{self.line_end}" for row in rows)
        self._file.write("".join(lines).encode())


class NdjsonWriter(Writer):
    """Writes one JSON object per line; a JSON column is JSON in it."""

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        columns = [_plain_values(frame[name], kind) for name, kind in self._types.items()]
        rows = zip(*columns, strict=True)
        self._file.write(_JSON.encode_lines([dict(zip(self._types, row, strict=True)) for row in rows]))


class ParquetWriter(Writer):
    """
    Writes compressed columns, each of the same type in every file.

    A timestamp is in UTC; a day is a date, which readers do not convert to another time zone. JSON is text.
    """

    def __init__(self, file: IO[bytes], types: Types) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("Parquet", "export") from None
        arrow = {
            ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
            ColumnType.DAY: pa.date32(),
            ColumnType.BOOLEAN: pa.bool_(),
            ColumnType.DOUBLE: pa.float64(),
            ColumnType.INTEGER: pa.int64(),
        }
        super().__init__(file, types)
        self._pa = pa
        self._schema = pa.schema([(name, arrow.get(kind, pa.string())) for name, kind in types.items()])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows as a row group."""
        if frame.empty:
            return
        arrays = []
        for field, (name, kind) in zip(self._schema, self._types.items(), strict=True):
            column: Any = frame[name]
            if kind is ColumnType.JSON:
                column = [None if value is None else _json_text(value) for value in column]
            elif kind is ColumnType.DAY:
                column = column.to_numpy(dtype="datetime64[D]")
            arrays.append(self._pa.array(column, type=field.type, from_pandas=True))
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def _plain_values(column: pd.Series[Any], kind: ColumnType) -> list[Any]:
    """
    Return the values of a column as text, numbers, booleans, JSON documents, and None for null.

    A timestamp is ISO 8601 text in UTC with six digits for the fraction of the second; a day is `YYYY-MM-DD`.
    """
    if kind in {ColumnType.TIMESTAMP, ColumnType.DAY}:
        unit, suffix = ("D", "") if kind is ColumnType.DAY else ("us", "Z")
        texts = np.datetime_as_string(column.to_numpy(dtype="datetime64[us]"), unit=unit)  # type: ignore[call-overload]
        return [None if text == "NaT" else f"{text}{suffix}" for text in texts.tolist()]
    if kind is ColumnType.JSON:
        return list(column)
    values: list[Any] = column.to_numpy(dtype=object, na_value=None).tolist()  # type: ignore[call-overload]
    return values


def _json_text(value: Any) -> str:  # noqa: ANN401
    return _JSON.encode(value).decode()


_CELLS: dict[ColumnType, Callable[[Any], str]] = {
    ColumnType.JSON: _json_text,
    ColumnType.BOOLEAN: lambda value: str(value).lower(),
    ColumnType.DOUBLE: repr,
}
