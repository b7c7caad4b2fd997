"""
The formats: each writes frames, one after the other, into an open file.

Null is an empty cell in CSV, as is empty text; `null` in NDJSON. A JSON column is JSON in NDJSON, and JSON
text elsewhere.
"""

from __future__ import annotations

import csv
import io
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec
import sqlalchemy as sa

from etl.errors import MissingExtra
from etl.export.columns import json_text, plain_values
from etl.frames.dtypes import Day
from etl.models import Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from sqlalchemy.types import TypeEngine

    Types = Mapping[str, TypeEngine[Any]]


class Writer(Protocol):
    """Writes the rows of one file; there is no file without `close`."""

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what is left. The file itself stays open."""


class CsvWriter:
    """
    Commas, quotes where needed, a line of names, UTF-8.

    A spreadsheet takes text that begins with one of = + - @ for a formula, and obeys it. Unless `is_raw`, an
    apostrophe before it says that it is text; numbers are left alone.
    """

    def __init__(self, file: IO[bytes], types: Types, *, is_raw: bool = False) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._types, self._is_raw = types, is_raw
        self._rows.writerow(types)

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        columns = [self._cells(frame[name], stored) for name, stored in self._types.items()]
        self._rows.writerows(zip(*columns, strict=True))

    def close(self) -> None:
        """Let go of the file."""
        self._text.detach()

    def _cells(self, column: pd.Series[Any], stored: TypeEngine[Any]) -> list[Any]:
        values = plain_values(column, stored)
        if isinstance(stored, sa.Boolean):
            return [value if value is None else str(bool(value)).lower() for value in values]
        if isinstance(stored, Json):
            values = [json_text(value) for value in values]
        elif not isinstance(stored, sa.Text):
            return values
        return values if self._is_raw else [_harmless(value) for value in values]


def _harmless(text: str | None) -> str | None:
    return f"'{text}" if text and text.lstrip(" \t\r\n\0")[:1] in tuple("=+-@") else text


class NdjsonWriter:
    """One JSON object a row, each on a line."""

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
    """Columns of their own types, the same in every file, compressed."""

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
            arrays.append(self._pa.array(column, type=field.type, from_pandas=True))
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()

    def _type_of(self, stored: TypeEngine[Any]) -> Any:  # noqa: ANN401
        pa = self._pa
        if isinstance(stored, (UtcDateTime, Day)):
            return pa.timestamp("us", tz="UTC")
        for kind, found in ((sa.Boolean, pa.bool_()), (sa.Double, pa.float64()), (sa.Integer, pa.int64())):
            if isinstance(stored, kind):
                return found
        return pa.string()
