"""The formats: each writes frames, one after the other, into an open file."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec
import sqlalchemy as sa

from etl.errors import MissingExtra
from etl.export.columns import json_text, plain_values
from etl.frames.dtypes import Day
from etl.models import Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from sqlalchemy.types import TypeEngine

    from etl.export.columns import Types


class Writer(Protocol):
    """Writes the rows of one file; there is no file without `close`."""

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what is left. The file itself stays open."""


class CsvWriter:
    """
    Writes a line of names and a line for each row; cells are in quotes where they must be.

    Null is an empty cell, empty text is `""`. Times are ISO 8601 in UTC, booleans are `true` and `false`.
    """

    separator = ","
    line_end = "\n"

    def __init__(self, file: IO[bytes], types: Types) -> None:
        self._file, self._types = file, types
        self._must_be_quoted = re.compile(f'[{self.separator}"\r\n]').search
        self._write_lines([list(types)])

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        columns = [self.cells(frame[name], stored) for name, stored in self._types.items()]
        self._write_lines(zip(*columns, strict=True))

    def close(self) -> None:
        """Nothing is left to write."""

    def cells(self, column: pd.Series[Any], stored: TypeEngine[Any]) -> list[str | None]:
        """Return the text of each cell, None for null."""
        return cell_texts(column, stored)

    def _quoted(self, text: str | None) -> str:
        if text is None:
            return ""
        if text and not self._must_be_quoted(text):
            return text
        return '"' + text.replace('"', '""') + '"'

    def _write_lines(self, rows: Iterable[Sequence[str | None]]) -> None:
        lines = (f"{self.separator.join(map(self._quoted, row))}{self.line_end}" for row in rows)
        self._file.write("".join(lines).encode())


def cell_texts(column: pd.Series[Any], stored: TypeEngine[Any]) -> list[str | None]:
    """Return the values of a column as text, None for null."""
    values = plain_values(column, stored)
    if isinstance(stored, Json):
        return [json_text(value) for value in values]
    if isinstance(stored, sa.Boolean):
        return [value if value is None else str(bool(value)).lower() for value in values]
    return [value if value is None or isinstance(value, str) else repr(value) for value in values]


class NdjsonWriter:
    """One JSON object a row, each on a line; a JSON column is JSON in it."""

    def __init__(self, file: IO[bytes], types: Types) -> None:
        self._file, self._types = file, types
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        names = list(self._types)
        columns = [plain_values(frame[name], stored) for name, stored in self._types.items()]
        self._file.write(
            self._encode([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])
        )

    def close(self) -> None:
        """Nothing is left to write."""


class ParquetWriter:
    """
    Columns of their own types, the same in every file, compressed.

    An instant is a timestamp in UTC; a day is a date, which no reader moves to another time zone. JSON is
    text.
    """

    def __init__(self, file: IO[bytes], types: Types) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("Parquet", "export") from None
        self._pa, self._types = pa, types
        self._schema = pa.schema([(name, self._type_of(stored)) for name, stored in types.items()])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows, as a group of their own."""
        if frame.empty:
            return
        arrays = []
        for field, (name, stored) in zip(self._schema, self._types.items(), strict=True):
            column: Any = frame[name]
            if isinstance(stored, Json):
                column = [json_text(value) for value in column]
            elif isinstance(stored, Day):
                column = column.to_numpy(dtype="datetime64[D]")
            arrays.append(self._pa.array(column, type=field.type, from_pandas=True))
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()

    def _type_of(self, stored: TypeEngine[Any]) -> Any:  # noqa: ANN401
        pa = self._pa
        if isinstance(stored, UtcDateTime):
            return pa.timestamp("us", tz="UTC")
        if isinstance(stored, Day):
            return pa.date32()
        for kind, found in ((sa.Boolean, pa.bool_()), (sa.Double, pa.float64()), (sa.Integer, pa.int64())):
            if isinstance(stored, kind):
                return found
        return pa.string()
