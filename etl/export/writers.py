"""
The file formats: each writer appends frames to an open file.

CSV and NDJSON are not left to pandas. Its CSV cannot tell empty text (`""`) from null (nothing between the
commas). Its JSON rounds floats to 15 digits and escapes every slash, and takes twice as long.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec

from etl.catalog import ColumnType
from etl.errors import MissingExtra
from etl.export.columns import json_text, plain_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from etl.export.columns import Types


class Writer(Protocol):
    """Writes the rows of one file, which is incomplete before `close`."""

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""

    def close(self) -> None:
        """Complete the file and leave it open."""


class CsvWriter:
    """
    Writes a header and a line for each row; cells are quoted only where necessary.

    Null is an empty cell, empty text is `""`. Timestamps are ISO 8601 in UTC, booleans `true` and `false`.
    """

    separator = ","
    line_end = "\n"

    def __init__(self, file: IO[bytes], types: Types) -> None:
        self._file, self._types = file, types
        self._must_be_quoted = re.compile(f'[{self.separator}"\r\n]').search
        self._write_lines([list(types)])

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        columns = [self.cells(frame[name], kind) for name, kind in self._types.items()]
        self._write_lines(zip(*columns, strict=True))

    def close(self) -> None:
        """Nothing is left to write."""

    def cells(self, column: pd.Series[Any], kind: ColumnType) -> list[str | None]:
        """Return the text of each cell, None for null."""
        return cell_texts(column, kind)

    def _quoted(self, text: str | None) -> str:
        if text is None:
            return ""
        if text and not self._must_be_quoted(text):
            return text
        return '"' + text.replace('"', '""') + '"'

    def _write_lines(self, rows: Iterable[Sequence[str | None]]) -> None:
        lines = (f"{self.separator.join(map(self._quoted, row))}{self.line_end}" for row in rows)
        self._file.write("".join(lines).encode())


def cell_texts(column: pd.Series[Any], kind: ColumnType) -> list[str | None]:
    """Return the values of a column as text, None for null."""
    values = plain_values(column, kind)
    if kind is ColumnType.JSON:
        return [json_text(value) for value in values]
    if kind is ColumnType.BOOLEAN:
        return [value if value is None else str(bool(value)).lower() for value in values]
    return [value if value is None or isinstance(value, str) else repr(value) for value in values]


class NdjsonWriter:
    """Writes one JSON object per line; a JSON column is JSON in it."""

    def __init__(self, file: IO[bytes], types: Types) -> None:
        self._file, self._types = file, types
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        names = list(self._types)
        columns = [plain_values(frame[name], kind) for name, kind in self._types.items()]
        rows = zip(*columns, strict=True)
        self._file.write(self._encode([dict(zip(names, row, strict=True)) for row in rows]))

    def close(self) -> None:
        """Nothing is left to write."""


class ParquetWriter:
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
        self._pa, self._types = pa, types
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
                column = [json_text(value) for value in column]
            elif kind is ColumnType.DAY:
                column = column.to_numpy(dtype="datetime64[D]")
            arrays.append(self._pa.array(column, type=field.type, from_pandas=True))
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()
