"""dlt with its declarative REST source, as in its documentation, or with larger buffers (--tuned)."""

from __future__ import annotations

import os
import sys

from dlt.sources.rest_api import rest_api_source
from pipelines import pipeline_into

TUNING = {
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    "NORMALIZE__WORKERS": "2",
    "NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS": "50000",
    "LOAD__WORKERS": "4",
    "EXTRACT__WORKERS": "4",
    "RUNTIME__LOG_LEVEL": "ERROR",
}


def main(url: str, database: str, *options: str) -> None:
    """Copy all tasks."""
    if "--tuned" in options:
        os.environ.update(TUNING)
    source = rest_api_source(
        {
            "client": {
                "base_url": url,
                "headers": {"Authorization": "APIKey 1$benchmark"},
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "total_path": None,
                    "stop_after_empty_page": True,
                },
            },
            "resources": [
                {
                    "name": "tasks",
                    "primary_key": "task_id",
                    "write_disposition": "merge",
                    "endpoint": {
                        "path": "streaming/ai/tasks",
                        "params": {"limit": 1000},
                        "data_selector": "results",
                    },
                }
            ],
        }
    )
    pipeline_into(database).run(source)


if __name__ == "__main__":
    main(*sys.argv[1:])
