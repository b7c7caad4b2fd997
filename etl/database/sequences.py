"""Sequences that lag behind the highest number in their column, which would make the next insert fail."""

from __future__ import annotations

import sqlalchemy as sa

from etl.database.privileges import SEQUENCES
from etl.errors import DatabaseError

_SEQUENCE = "pg_get_serial_sequence('{table}', '{column}')"
_STATE = sa.text(
    " UNION ALL ".join(
        f"SELECT {name} AS name, (SELECT max({column}) FROM {table}) AS highest,"
        # Before Postgres 17, reading the last value requires more than the privilege to set it.
        f" CASE WHEN has_sequence_privilege({name}, 'SELECT, USAGE')"
        f" THEN pg_sequence_last_value(CAST({name} AS regclass)) END AS last,"
        f" has_sequence_privilege({name}, 'UPDATE') AS may_set"
        for table, column in SEQUENCES.items()
        for name in [_SEQUENCE.format(table=table, column=column)]
    )
)
_SET = sa.text("SELECT setval(CAST(:name AS regclass), :highest)")


def catch_up_sequences(connection: sa.Connection) -> None:
    """
    Set each lagging sequence to the highest number in use. The caller must hold the writer's lock.

    Sequences lag after rows were copied by hand, for instance from SQLite. Raises DatabaseError, with the
    statement to run, if the role may use a sequence but not set it.
    """
    for name, highest in sequences_behind(connection).items():
        connection.execute(_SET, {"name": name, "highest": highest})


def sequences_behind(connection: sa.Connection) -> dict[str, int]:
    """Return the lagging sequences and the number to set each to. Raises as `catch_up_sequences` does."""
    behind: dict[str, int] = {}
    if connection.dialect.name != "postgresql":
        return behind
    for name, highest, last, may_set in connection.execute(_STATE):
        if name is None or (highest or 0) <= (last or 0):
            continue
        if not may_set:
            raise DatabaseError(
                f"the sequence {name} lags behind its table, as after copying rows by hand: "
                f"run SELECT setval('{name}', {highest}) as its owner"
            )
        behind[name] = highest
    return behind
