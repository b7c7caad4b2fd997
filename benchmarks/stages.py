"""How much CPU each stage of a first load takes, of the thread that runs it."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from etl.extract import client
from etl.load import upsert
from etl.settings import Settings, parse_api_key
from etl.sync import api, run
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = [
    (api, "ensure_schema", "making the schema"),
    (client.Client, "_exchange", "HTTP"),
    (client, "decode_page", "reading JSON, with fingerprints"),
    (upsert._Writer, "insert", "encoding and writing rows"),  # noqa: SLF001
    (upsert._Writer, "_row", "... of which encoding"),  # noqa: SLF001
    (upsert, "_compare", "looking up what is stored"),
    (run.Run, "_read", "all that the loading thread does while it reads"),
    (run, "build_indexes", "indexes, at the end"),
]


def measure_stages(url: str, database: str) -> dict[str, float]:
    """Load everything in this process, and give the seconds of each stage."""
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
    return {**seconds, "all of it, without the imports": time.process_time() - started}
