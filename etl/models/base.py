"""The declarative base, the names of constraints, and the column types that differ between databases."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

# A constraint without a name cannot be dropped by a later migration.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
# SQLite generates row numbers only for an INTEGER column, which has 64 bits there anyway.
BigSerial = BigInteger().with_variant(Integer(), "sqlite")

# By the length of a timestamp in UTC as msgspec writes it: without a fraction, or with one of six digits.
_MISSING_FRACTION = {len("2026-12-01T14:39:57Z"): ".000000", len("2026-12-01T14:39:57.000000Z"): ""}

_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def as_json(value: Any) -> str:  # noqa: ANN401
    """Return a value that was parsed from JSON as compact JSON."""
    try:
        return msgspec.json.encode(value).decode()
    except TypeError:
        # msgspec does not accept subclasses of str.
        return _encode_json(value)


def as_sqlite_instants(values: Sequence[dt.datetime | None]) -> list[str | None]:
    """
    Return timestamps in UTC as text, always with microseconds.

    These texts sort by time, and SQLite's date functions accept them.
    """
    texts: list[str | None] = msgspec.to_builtins(values)
    return [text and f"{text[:10]} {text[11:-1]}{_MISSING_FRACTION[len(text)]}" for text in texts]


class UtcDateTime(TypeDecorator[dt.datetime]):
    """
    A timestamp: aware and in UTC in Python.

    TIMESTAMPTZ on Postgres, text on SQLite.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | str | None:
        """Return the driver's value. Raises ValueError for a naive timestamp: its time zone is unknown."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: instants are stored in UTC, so they must be aware")
        value = value.astimezone(dt.UTC)
        return as_sqlite_instants([value])[0] if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ANN401
        """Return the timestamp in UTC, whatever the time zone of the session."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
        instant: dt.datetime = value
        return instant.astimezone(dt.UTC)


class Json(TypeDecorator[Any]):
    """
    A JSON document; None is SQL's NULL.

    JSONB on Postgres; compact UTF-8 text on SQLite. The column is declared TEXT there, because a column
    declared JSON has numeric affinity and would convert a document that is a bare number into a number.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        # Slow to import, and not needed for SQLite.
        from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415

        return dialect.type_descriptor(JSONB(none_as_null=True))

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> Any:  # noqa: ANN401
        """Return the document as text; raise ValueError for NaN and infinity."""
        return _encode_json(value) if dialect.name == "sqlite" and value is not None else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:  # noqa: ANN401
        """Return the parsed document."""
        return json.loads(value) if dialect.name == "sqlite" and value is not None else value


class Base(DeclarativeBase):
    """
    The base of all models; their docstrings are what `gcore-etl schema` says about the tables.

    Only `etl.load` and `etl.sync` write rows, through `__table__`; a user's `Session` reads them.
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        bool: Boolean(),
        bytes: LargeBinary(),
        dict[str, Any]: Json(),
        dt.datetime: UtcDateTime(),
        float: Double(),
        int: Integer(),
        list[Any]: Json(),
        str: Text(),
    }


METADATA = Base.metadata
