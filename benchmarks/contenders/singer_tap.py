"""A tap made with the Singer SDK, as in its cookbook: a REST stream, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BasePageNumberPaginator

if TYPE_CHECKING:
    from requests import Response

PAGE = 1000
TEXTS = ("task_name", "url", "category", "audio_language", "subtitles_language", "stop_objects")
TEXTS += ("client_user_id", "client_entity_data")


class Pages(BasePageNumberPaginator):
    """A paginator that continues while the response has a next page."""

    def has_more(self, response: Response) -> bool:
        """Return whether the response has a next page."""
        return bool(response.json()["next"])


class Tasks(RESTStream[int]):
    """The list of tasks."""

    name = "tasks"
    path = "/streaming/ai/tasks"
    primary_keys = ("task_id",)
    records_jsonpath = "$.results[*]"
    schema = th.PropertiesList(
        th.Property("task_id", th.StringType, required=True),
        th.Property("status", th.StringType),
        th.Property("progress", th.IntegerType),
        *(th.Property(name, th.StringType) for name in TEXTS),
        th.Property("client_id", th.IntegerType),
        th.Property("started_at", th.DateTimeType),
        th.Property("completed_at", th.DateTimeType),
        th.Property("total_time_sec", th.NumberType),
    ).to_dict()

    @property
    def url_base(self) -> str:
        """The URL of the source."""
        return str(self.config["url"])

    def get_new_paginator(self) -> Pages:
        """Return a paginator that starts at page 1."""
        return Pages(start_value=1)

    def get_url_params(self, _context: object, next_page_token: int | None) -> dict[str, Any]:
        """Return the parameters of a page."""
        return {"page": next_page_token or 1, "limit": PAGE}

    def post_process(self, row: dict[str, Any], _context: object = None) -> dict[str, Any]:
        """Return a flattened record."""
        return {**row.pop("task_data"), **row.pop("processing_time"), **row}


class GcoreTap(Tap):
    """A tap with one stream."""

    name = "tap-gcore"
    config_jsonschema = th.PropertiesList(th.Property("url", th.StringType, required=True)).to_dict()

    def discover_streams(self) -> list[Tasks]:
        """Return the stream."""
        return [Tasks(self)]


if __name__ == "__main__":
    GcoreTap.cli()
