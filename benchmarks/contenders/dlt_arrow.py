"""dlt with a custom resource: pages are fetched in parallel, flattened with Arrow, and merged by task_id."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dlt
import httpx
import pyarrow as pa
from pipelines import pipeline_into

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE, THREADS = 1000, 4
TEXTS = ("task_name", "url", "category", "audio_language", "subtitles_language", "stop_objects")
TEXTS += ("client_user_id", "client_entity_data")
SCHEMA = pa.schema(
    [
        *(("task_id", pa.string()), ("status", pa.string()), ("progress", pa.int32())),
        *((name, pa.string()) for name in TEXTS),
        *(("client_id", pa.int64()), ("started_at", pa.string()), ("completed_at", pa.string())),
        ("total_time_sec", pa.float64()),
    ]
)


def row_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return a flattened record."""
    values = {**record["task_data"], **record["processing_time"], **record}
    return {name: values.get(name) for name in SCHEMA.names}


def main(url: str, database: str) -> None:
    """Copy all tasks."""

    @dlt.resource(name="tasks", primary_key="task_id", write_disposition="merge")
    def tasks() -> Iterator[pa.Table]:
        headers = {"Authorization": "APIKey 1$benchmark"}
        with httpx.Client(base_url=url, headers=headers) as client, ThreadPoolExecutor(THREADS) as pool:

            def fetch(page: int) -> dict[str, Any]:
                answer = client.get("/streaming/ai/tasks", params={"page": page, "limit": PAGE})
                found: dict[str, Any] = answer.json()
                return found

            first = fetch(1)
            yield pa.Table.from_pylist(list(map(row_of, first["results"])), schema=SCHEMA)
            for page in pool.map(fetch, range(2, -(-first["count"] // PAGE) + 1)):
                yield pa.Table.from_pylist(list(map(row_of, page["results"])), schema=SCHEMA)

    pipeline_into(database).run(tasks())


if __name__ == "__main__":
    main(*sys.argv[1:])
