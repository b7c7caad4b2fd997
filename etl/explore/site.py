"""The metadata for Datasette: descriptions of tables and views, facets, and saved queries."""

from __future__ import annotations

from typing import Any

from etl.catalog import list_catalog
from etl.queries import saved_queries

# The columns whose values are counted beside a table or view.
FACETS = {
    "tasks": ["task_name", "status", "category", "audio_language"],
    "task_history": ["event", "status"],
    "task_results": ["state", "kind"],
    "detections": ["label"],
    "sync_runs": ["mode", "status"],
    "task_timeline": ["task_name", "category", "status"],
    "task_daily": ["task_name", "status"],
    "outcomes": ["task_name", "category", "audio_language", "host"],
    "minutes_daily": ["task_name", "category"],
    "status_spans": ["status"],
    "retries": ["task_name", "status"],
    "failures": ["task_name", "category"],
    "failure_kinds": ["task_name", "category"],
    "in_flight": ["task_name", "status"],
    "stalls": ["task_name", "status"],
    "results_expiring": ["task_name", "status", "state"],
}
_SORTED_NEWEST_FIRST = {
    "tasks": "started_at",
    "sync_runs": "run_id",
    "task_history": "history_id",
    "task_daily": "day",
    "outcomes": "day",
    "failures": "failed_at",
}
_SEARCH = {
    "title": "Search the transcripts",
    "description": 'Words, "phrases" and prefixes*; case and accents are ignored.',
    # Datasette shows an input for each parameter; `etl.explore.server` defines the function.
    "sql": """SELECT
    json_extract(value, '$.task_id') AS task_id,
    json_extract(value, '$.start_seconds') AS start_seconds,
    json_extract(value, '$.snippet') AS snippet,
    json_extract(value, '$.url') AS url,
    json_extract(value, '$.completed_at') AS completed_at
FROM json_each(search_transcripts(:words))
ORDER BY json_extract(value, '$.rank')""",
}


def site(database: str) -> dict[str, Any]:
    """Return Datasette's metadata for the database with this name."""
    tables: dict[str, dict[str, Any]] = {
        each.name: {"description": each.comment, "facets": FACETS.get(each.name, [])}
        for each in list_catalog()
    }
    for name, column in _SORTED_NEWEST_FIRST.items():
        tables[name]["sort_desc"] = column
    tables["transcript_parts"] |= {"fts_table": "transcript_words", "fts_pk": "part_id"}
    tables["alembic_version"] = {"hidden": True}
    book = {
        each.name: {"title": each.title, "description": each.note, "sql": each.sql["sqlite"]}
        for each in saved_queries()
    }
    return {
        "title": "Gcore AI tasks",
        "description": "A copy of your tasks, their history and their results. Times are in UTC.",
        "databases": {database: {"tables": tables, "queries": {"search": _SEARCH, **book}}},
    }
