"""
Sling, which has no source for this API: pages are downloaded into files, four at a time, and it merges these.

The records are flattened and merged by task_id. Sling downloads SQLite's own client once, into a folder that
is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sling_linux_amd64

PAGE, THREADS = 1000, 4
BINARY = Path(sling_linux_amd64.__file__).parent / "bin" / "sling-linux-amd64"
OPTIONS = {"format": "json", "jmespath": "results[*]", "flatten": True}


def download(url: str, page: int, folder: Path) -> int:
    """Save one page; return the number of tasks that the list has."""
    address = f"{url}/streaming/ai/tasks?page={page}&limit={PAGE}"
    request = urllib.request.Request(address, headers={"Authorization": "APIKey 1$benchmark"})  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310 - our own server
        body = response.read()
    (folder / f"{page:06}.json").write_bytes(body)
    return int(json.loads(body)["count"]) if page == 1 else 0


def connection_url(database: str) -> str:
    """Return the URL as Sling expects it."""
    if database.startswith("sqlite:"):
        return database.replace("sqlite:////", "sqlite:///")
    return database.replace("postgres:@", "postgres:none@") + "&sslmode=disable"


def main(url: str, database: str) -> None:
    """Copy all tasks."""
    home = Path(sys.prefix) / "sling"
    with tempfile.TemporaryDirectory(prefix="gcore-etl-bench-sling-") as scratch:
        folder = Path(scratch)
        count = download(url, 1, folder)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda page: download(url, page, folder), range(2, -(-count // PAGE) + 1)))
        schema = "main" if database.startswith("sqlite:") else "public"
        environment = {**os.environ, "SLING_HOME_DIR": str(home), "TARGET": connection_url(database)}
        command = [str(BINARY), "run", "--src-stream", f"file://{folder}/", "--tgt-conn", "TARGET"]
        command += ["--src-options", json.dumps(OPTIONS), "--tgt-object", f"{schema}.tasks"]
        command += ["--mode", "incremental", "--primary-key", "task_id"]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
