"""The CPU time of each stage of a first load, in the thread that runs it."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from etl.extract import client
from etl.load import bulk, task_rows, upsert
from etl.settings import Settings, parse_api_key
from etl.sync import api, run
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = [
    (api, "ensure_schema", "creating the schema"),
    (client.Client, "_send", "HTTP"),
    (client, "decode_page", "reading JSON, with payload hashes"),
    (task_rows.TaskWriter, "insert", "building, encoding and writing rows"),
    (task_rows.TaskWriter, "_new_columns", "... of which building"),
    (bulk, "_encoded", "... of which encoding"),
    (upsert, "_compare", "looking up stored rows"),
    (run.Run, "_read", "everything in the loading thread while it reads"),
    (run, "build_indexes", "building indexes"),
]


def measure_stages(url: str, database: str) -> dict[str, float]:
    """Run a first load in this process, and return the seconds of each stage."""
    seconds = {label: 0.0 for *_, label in STAGES}

    def timed(function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            started = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                seconds[label] += time.thread_time() - started

        return call

    for owner, name, label in STAGES:
        setattr(owner, name, timed(getattr(owner, name), label))
    started = time.process_time()
    settings = Settings(api_key=parse_api_key("1$benchmark"), base_url=url, database_url=database)
    api.run_sync(settings, SyncOptions(with_results=False))
    return {**seconds, "total, without imports": time.process_time() - started}
