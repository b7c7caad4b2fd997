"""PyAirbyte with a declarative source, run in this process, and its Postgres cache."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any
from urllib.parse import parse_qs, urlsplit

os.environ |= {"DO_NOT_TRACK": "1", "AIRBYTE_OFFLINE_MODE": "1"}
# PyAirbyte keeps its state in the current folder.
os.chdir(tempfile.gettempdir())

import airbyte as ab  # noqa: E402
from airbyte.caches import PostgresCache  # noqa: E402

PAGE = 1000
KINDS = {"task_id": "string", "status": "string", "progress": "integer"}
# Templates would render null as the text None, so nested objects are not flattened.
KINDS |= {"task_data": "object", "processing_time": "object"}


def manifest(url: str) -> dict[str, Any]:
    """Return the declaration of the source."""
    properties = {name: {"type": ["null", kind]} for name, kind in KINDS.items()}
    stream = {
        "type": "DeclarativeStream",
        "name": "tasks",
        "primary_key": ["task_id"],
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": url,
                "path": "/streaming/ai/tasks",
                "http_method": "GET",
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["results"]},
            },
            "paginator": {
                "type": "DefaultPaginator",
                "page_token_option": {
                    "type": "RequestOption",
                    "inject_into": "request_parameter",
                    "field_name": "page",
                },
                "page_size_option": {
                    "type": "RequestOption",
                    "inject_into": "request_parameter",
                    "field_name": "limit",
                },
                "pagination_strategy": {
                    "type": "PageIncrement",
                    "start_from_page": 1,
                    "page_size": PAGE,
                    "inject_on_first_request": True,
                },
            },
        },
        "schema_loader": {
            "type": "InlineSchemaLoader",
            "schema": {"type": "object", "properties": properties},
        },
    }
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["tasks"]},
        "streams": [stream],
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {}},
        },
    }


def main(url: str, database: str) -> None:
    """Copy all tasks."""
    address = urlsplit(database)
    if not address.hostname:
        # The cache's own URL cannot contain a socket.
        os.environ["PGHOST"] = parse_qs(address.query)["host"][0]
    cache = PostgresCache(
        host=address.hostname or "",
        port=address.port or 5432,
        username=address.username or "postgres",
        password=address.password or "none",
        database=address.path[1:],
        schema_name="public",
    )
    source = ab.get_source("source-gcore", config={}, source_manifest=manifest(url))
    source.select_all_streams()
    source.read(cache=cache, write_strategy="merge", force_full_refresh=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
