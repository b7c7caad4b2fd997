"""The declarative base, the names of constraints, and the column types that differ between databases."""

import datetime as dt
import json
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
# SQLite numbers rows by itself only where the column is an INTEGER, which there holds 64 bits anyway.
BigSerial = BigInteger().with_variant(Integer(), "sqlite")

_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def as_json(value: Any) -> str:  # noqa: ANN401
    """Write a document that was read from JSON, and so holds nothing that is none."""
    try:
        return msgspec.json.encode(value).decode()
    except TypeError:
        # A subclass of str, perhaps.
        return _encode_json(value)


def as_sqlite_instant(value: dt.datetime) -> str:
    """
    Write an aware instant in UTC with all six digits of the second, always.

    So it sorts as it happened, and SQLite's own date functions read it.
    """
    if value.tzinfo is not dt.UTC:
        value = value.astimezone(dt.UTC)
    # A quarter of the time of `isoformat`, which asks the time zone for its offset.
    text: str = msgspec.to_builtins(value)
    return f"{text[:10]} {text[11:-1]}{'' if value.microsecond else '.000000'}"


class UtcDateTime(TypeDecorator[dt.datetime]):
    """
    An instant: aware and in UTC in Python, whatever the database makes of it.

    TIMESTAMPTZ on Postgres, text on SQLite.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | str | None:
        """Refuse an instant that does not say where it is: guessing a zone would store a lie."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: instants are stored in UTC, so they must be aware")
        return as_sqlite_instant(value) if dialect.name == "sqlite" else value.astimezone(dt.UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ANN401
        """Give the instant back in UTC, even from a session in another zone."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
        instant: dt.datetime = value
        return instant.astimezone(dt.UTC)


class Json(TypeDecorator[Any]):
    """
    A JSON document; None is SQL's NULL.

    JSONB on Postgres; compact UTF-8 text on SQLite, in a column declared TEXT: one declared JSON would get
    numeric affinity there, and a document that is a bare number would come back as no text at all.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        # It takes long to load, which users of SQLite need not wait for.
        from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415

        return dialect.type_descriptor(JSONB(none_as_null=True))

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> Any:  # noqa: ANN401
        """Write the document; NaN and infinity are no JSON and raise ValueError."""
        return _encode_json(value) if dialect.name == "sqlite" and value is not None else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:  # noqa: ANN401
        """Read the document."""
        return json.loads(value) if dialect.name == "sqlite" and value is not None else value


class Base(DeclarativeBase):
    """
    The base of all models.

    Rows are written by `etl.load` and `etl.sync` alone, through `__table__`; a user's `Session` reads them.
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
