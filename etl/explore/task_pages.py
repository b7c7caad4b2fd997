"""A task's page in Datasette: links to its rows in other tables, and to positions in its video."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.utils import tilde_decode
from markupsafe import Markup

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Coroutine

    from datasette.app import Datasette
    from datasette.utils.asgi import Request

# Datasette finds related tables by foreign keys, which this schema does not have.
RELATED_TABLES = ("task_history", "task_results", "subtitles", "detections")


class TaskPages:
    """A Datasette plugin; the template `row.html` shows its counts."""

    def __init__(self, database: str) -> None:
        self.__name__ = "gcore_etl_task_pages"
        self._database = database

    @hookimpl
    async def extra_template_vars(
        self, table: str | None, view_name: str, request: Request | None, datasette: Datasette
    ) -> dict[str, Any]:
        """Return the related tables of the task on the page, with the number of its rows in each."""
        if view_name != "row" or table != "tasks" or request is None:
            return {}
        task_id = tilde_decode(request.url_vars["pks"])
        counts = ", ".join(
            f"(SELECT count(*) FROM {name} WHERE task_id = :task_id)" for name in RELATED_TABLES
        )
        found = await datasette.get_database(self._database).execute(f"SELECT {counts}", {"task_id": task_id})
        query = urlencode({"task_id__exact": task_id})
        return {
            "related_tables": [
                {
                    "table": name,
                    "rows": rows,
                    "address": f"{datasette.urls.table(self._database, name)}?{query}",
                }
                for name, rows in zip(RELATED_TABLES, found.first(), strict=True)
            ]
        }

    @hookimpl
    def render_cell(
        self, row: sqlite3.Row, value: object, column: str, datasette: Datasette
    ) -> Coroutine[Any, Any, Markup] | None:
        """Show the start of a subtitle as a time that links to that position in the video."""
        if column != "start_seconds" or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        # Not an async method: for other cells, Python would warn about a coroutine that was never awaited.
        return self._link_to_start(row, value, datasette)

    async def _link_to_start(self, row: sqlite3.Row, seconds: float, datasette: Datasette) -> Markup:
        columns = row.keys()
        url = row["url"] if "url" in columns else None
        if "url" not in columns and "task_id" in columns:
            query = "SELECT url FROM tasks WHERE task_id = :task_id"
            found = await datasette.get_database(self._database).execute(query, {"task_id": row["task_id"]})
            url = found.single_value() if found.rows else None
        address = str(url).partition("#")[0]
        if not address.lower().startswith(("http://", "https://")):
            return Markup("{}").format(as_clock(seconds))
        return Markup('<a href="{}#t={}">{}</a>').format(address, max(0, int(seconds)), as_clock(seconds))


def as_clock(seconds: float) -> str:
    """Return a position in a video as `0:00:14`."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
