"""Where dlt loads to."""

from __future__ import annotations

import tempfile
from urllib.parse import quote

import dlt
from dlt.destinations.impl.postgres.configuration import PostgresCredentials
from sqlalchemy import make_url


def pipeline_into(database: str) -> dlt.Pipeline:
    """Make a pipeline into a SQLite file or a Postgres database, whose state is only there."""
    if database.startswith("sqlite:"):
        destination, dataset = dlt.destinations.sqlalchemy(database), "main"
    else:
        url = make_url(database)
        # A socket is named in the query, which dlt does not look at; in its own URLs hosts stand as they are.
        host = url.host or quote(str(url.query.get("host")), safe="")
        place = {"database": url.database, "username": url.username, "password": url.password or "none"}
        credentials = PostgresCredentials({**place, "host": host, "port": url.port or 5432})
        destination, dataset = dlt.destinations.postgres(credentials), "public"
    return dlt.pipeline(
        pipeline_name="benchmark",
        pipelines_dir=tempfile.mkdtemp(prefix="gcore-etl-bench-dlt-"),
        destination=destination,
        dataset_name=dataset,
    )
