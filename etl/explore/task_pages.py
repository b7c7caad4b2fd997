"""What Datasette shows of a task: links to its rows in other tables, and to moments of its video."""

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

# Datasette finds such tables by foreign keys, of which there are none.
OF_A_TASK = ("task_history", "task_results", "subtitles", "detections")


class TaskPages:
    """A plugin of Datasette; the template `row.html` shows what it counts."""

    def __init__(self, database: str) -> None:
        self.__name__ = "gcore_etl_task_pages"
        self._database = database

    @hookimpl
    async def extra_template_vars(
        self, table: str | None, view_name: str, request: Request | None, datasette: Datasette
    ) -> dict[str, Any]:
        """Return the tables with rows about the task whose page is shown, and how many each has."""
        if view_name != "row" or table != "tasks" or request is None:
            return {}
        task_id = tilde_decode(request.url_vars["pks"])
        counts = ", ".join(f"(SELECT count(*) FROM {name} WHERE task_id = :task_id)" for name in OF_A_TASK)
        found = await datasette.get_database(self._database).execute(f"SELECT {counts}", {"task_id": task_id})
        asked = urlencode({"task_id__exact": task_id})
        return {
            "of_this_task": [
                {
                    "table": name,
                    "rows": rows,
                    "address": f"{datasette.urls.table(self._database, name)}?{asked}",
                }
                for name, rows in zip(OF_A_TASK, found.first(), strict=True)
            ]
        }

    @hookimpl
    def render_cell(
        self, row: sqlite3.Row, value: object, column: str, datasette: Datasette
    ) -> Coroutine[Any, Any, Markup] | None:
        """Show where a subtitle starts as a time, with a link to that moment of the video."""
        if column != "start_seconds" or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        # Of all other cells nothing is awaited: a coroutine that Datasette drops would be complained about.
        return self._moment(row, value, datasette)

    async def _moment(self, row: sqlite3.Row, seconds: float, datasette: Datasette) -> Markup:
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
    """Return a place in a video as `0:00:14`."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
