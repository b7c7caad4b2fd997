"""The destination of the dlt pipelines."""

from __future__ import annotations

import tempfile
from urllib.parse import quote

import dlt
from dlt.destinations.impl.postgres.configuration import PostgresCredentials
from sqlalchemy import make_url


def pipeline_into(database: str) -> dlt.Pipeline:
    """Return a pipeline to a SQLite file or a Postgres database that keeps its state only there."""
    if database.startswith("sqlite:"):
        destination, dataset = dlt.destinations.sqlalchemy(database), "main"
    else:
        url = make_url(database)
        # The path of a socket is in the query, which dlt ignores; its own URLs take it as the host.
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
