"""
The schema revision of a database, and whether the database is ours, empty, or another program's.

A stored revision alone proves nothing: other programs use Alembic too, with the same table and similar
numbers. It counts only if the tables of that revision exist as well.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, text

from etl import views
from etl.database.search_path import refuse_spread
from etl.database.session_settings import location_of
from etl.errors import ForeignTablesError

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Each table, the revision that created it, and columns that it has had ever since.
_TABLES = {
    "tasks": ("0001", {"task_id", "payload_hash", "first_seen_at", "removed_at"}),
    "task_history": ("0001", {"history_id", "task_id", "observed_at", "previous_status"}),
    "detections": ("0002", {"task_id", "position", "frame_number"}),
    "subtitles": ("0002", {"task_id", "position", "start_seconds"}),
    "task_results": ("0002", {"task_id", "state", "fetched_at", "attempts"}),
    "rejected_records": ("0003", {"rejected_id", "raw_hash"}),
    "sync_runs": ("0003", {"run_id", "watermark_before", "watermark_after"}),
    "sync_state": ("0003", {"state_id", "watermark", "date_filter"}),
    "transcript_parts": ("0006", {"part_id", "task_id"}),
    "transcript_words": ("0006", {"words"}),
}
# The tables with a model; `transcript_words` is another kind of table on each database.
TABLES = tuple(sorted(_TABLES.keys() - {"transcript_words"}))
# The tables that a newer release is expected to have kept.
_STABLE_TABLES = ("tasks", "sync_state")
_VERSIONS, _VERSION = "alembic_version", "version_num"

# The relations with these names, and the columns of those that are tables.
_RELATIONS = {
    "sqlite": """
        SELECT lower(name), NULL FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) IN :names
        UNION ALL
        SELECT lower(m.name), lower(c.name) FROM sqlite_master m JOIN pragma_table_info(m.name) c
        WHERE m.type = 'table' AND lower(m.name) IN :names
    """,
    "postgresql": """
        SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a
          ON a.attrelid = c.oid AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relname IN :names AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
    """,
}
# The number of relations other than the table of revisions.
_COUNT_OTHERS = {
    "sqlite": """
        SELECT count(*) FROM sqlite_master
        WHERE type IN ('table', 'view') AND lower(name) <> 'alembic_version' AND name NOT GLOB 'sqlite_*'
    """,
    "postgresql": """
        SELECT count(*) FROM pg_class c JOIN pg_class v ON v.relnamespace = c.relnamespace AND v.oid <> c.oid
        WHERE v.relname = 'alembic_version' AND pg_table_is_visible(v.oid)
          AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    """,
}


def migrations_dir() -> Path:
    """Return the folder of the migration scripts: in the wheel, or beside the package in a checkout."""
    package = Path(views.__file__).parents[1]
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"


def known_revisions() -> list[str]:
    """Return the revisions that this release knows, oldest first, from the names of the migration files."""
    names = (path.name for path in (migrations_dir() / "versions").glob("*.py"))
    return sorted(match[1] for name in names if (match := re.match(r"(\d{4})_", name)))


def head_revision() -> str:
    """Return the revision that this release works with."""
    return known_revisions()[-1]


def current_revision(connection: Connection) -> str | None:
    """
    Return the revision of our schema, which may be a newer release's; None if there are no tables of ours.

    Raises ForeignTablesError if another program's relation has one of our names, and DatabaseError if our
    tables are spread over several schemas.
    """
    found = _find_relations(connection)
    revision = _stored_revision(connection, found)
    if revision is None:
        taken = sorted(found.keys() - {_VERSIONS})
        if taken:
            raise ForeignTablesError(_foreign(f"{', '.join(taken)} not made by gcore-etl"))
        return None
    is_known = revision in known_revisions()
    names = (
        [name for name, (since, _) in _TABLES.items() if since <= revision] if is_known else _STABLE_TABLES
    )
    mismatches = sorted(name for name in names if not _TABLES[name][1] <= found.get(name, set()))
    if mismatches and is_known:
        location = location_of(connection)
        if location is not None:
            refuse_spread(connection, location, mismatches)
        raise ForeignTablesError(
            _foreign(f"{', '.join(mismatches)} not as gcore-etl made it at revision {revision}")
            + ", or restore a backup of yours"
        )
    if mismatches:
        raise ForeignTablesError(_foreign(f"{_VERSIONS} not made by gcore-etl"))
    return revision


def stored_revision(connection: Connection) -> str | None:
    """Return the stored revision, even if tables of ours are missing or damaged."""
    return _stored_revision(connection, _find_relations(connection))


def drop_empty_revision_table(connection: Connection) -> None:
    """Drop the table of revisions if it is empty and there are other relations: it would count as foreign."""
    is_empty = not connection.scalar(text(f"SELECT count(*) FROM {_VERSIONS}"))
    if is_empty and connection.scalar(text(_COUNT_OTHERS[connection.dialect.name])):
        connection.execute(text(f"DROP TABLE {_VERSIONS}"))


def _find_relations(connection: Connection) -> dict[str, set[str | None]]:
    """Return the relations with names of ours, and the columns of those that are tables."""
    names = [*_TABLES, *views.NAMES, _VERSIONS]
    query = text(_RELATIONS[connection.dialect.name]).bindparams(bindparam("names", expanding=True))
    found: dict[str, set[str | None]] = {}
    for name, column in connection.execute(query, {"names": names}):
        found.setdefault(name, set()).add(column)
    return found


def _stored_revision(connection: Connection, found: dict[str, set[str | None]]) -> str | None:
    """Return the stored revision, or None if the database is empty; else raise ForeignTablesError."""
    if _VERSIONS not in found:
        return None
    if _VERSION not in found[_VERSIONS]:
        raise ForeignTablesError(_foreign(f"{_VERSIONS} not made by gcore-etl"))
    stored = connection.execute(text(f"SELECT {_VERSION} FROM {_VERSIONS} LIMIT 2")).scalars().all()
    if len(stored) == 1 and isinstance(stored[0], str):
        return stored[0]
    # An older release left the table without a row after a downgrade to base.
    if stored or connection.scalar(text(_COUNT_OTHERS[connection.dialect.name])):
        raise ForeignTablesError(_foreign(f"{_VERSIONS} not made by gcore-etl"))
    return None


def _foreign(why: str) -> str:
    return f"the database belongs to another program ({why}) and was left alone: use another database (-d)"
