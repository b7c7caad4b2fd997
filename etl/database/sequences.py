"""The sequences of a Postgres database that number rows: never behind the rows that are there."""

from __future__ import annotations

import sqlalchemy as sa

from etl.database.privileges import SEQUENCES
from etl.errors import DatabaseError

_SEQUENCE = "pg_get_serial_sequence('{table}', '{column}')"
_STATE = sa.text(
    " UNION ALL ".join(
        f"SELECT {name} AS name, (SELECT max({column}) FROM {table}) AS highest,"
        # Before 17, the server refuses to say it to a role that may only set the sequence.
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
    Set each sequence on to the highest number in use; only the holder of the writer's lock may.

    They fall behind where rows were copied by hand, from a file on SQLite for instance. Raises DatabaseError
    with the statement to run where the role may use a sequence, but not set it.
    """
    for name, highest in sequences_behind(connection).items():
        connection.execute(_SET, {"name": name, "highest": highest})


def sequences_behind(connection: sa.Connection) -> dict[str, int]:
    """Return the sequences to be set on, with the number to set each to; raises as `catch_up_sequences`."""
    found: dict[str, int] = {}
    if connection.dialect.name != "postgresql":
        return found
    for name, highest, last, may_set in connection.execute(_STATE):
        if name is None or (highest or 0) <= (last or 0):
            continue
        if not may_set:
            raise DatabaseError(
                f"the sequence {name} is behind the rows that it numbers, as after a copy by hand: "
                f"run SELECT setval('{name}', {highest}) as its owner"
            )
        found[name] = highest
    return found
