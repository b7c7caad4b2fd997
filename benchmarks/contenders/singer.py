"""
Singer: a tap of the Singer SDK piped into MeltanoLabs' target for Postgres.

There is none for SQLite: the one on PyPI, target-sqlite 0.2.0, is pinned to SQLAlchemy 1.2.12, which no
Python from 3.10 on can import.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TAP = Path(__file__).with_name("singer_tap.py")


def settings_of_target(database: str) -> dict[str, object]:
    """Say in the target's own words where to load to."""
    url = urlsplit(database)
    # A socket is named in the query; the target has no other place for it than its own URL.
    host = url.hostname or parse_qs(url.query)["host"][0]
    address = f"postgresql+psycopg://{url.username}@/{url.path[1:]}?host={host}"
    return {
        "sqlalchemy_url": address,
        "default_target_schema": "public",
        "add_record_metadata": False,
        "activate_version": False,
    }


def main(url: str, database: str) -> int:
    """Run both ends of the pipe."""
    target = str(Path(sys.executable).with_name("target-postgres"))
    with tempfile.TemporaryDirectory() as folder:
        tap_file, target_file = Path(folder) / "tap.json", Path(folder) / "target.json"
        tap_file.write_text(json.dumps({"url": url}), encoding="utf-8")
        target_file.write_text(json.dumps(settings_of_target(database)), encoding="utf-8")
        with subprocess.Popen(
            [sys.executable, str(TAP), "--config", str(tap_file)], stdout=subprocess.PIPE
        ) as tap:
            loaded = subprocess.run([target, "--config", str(target_file)], stdin=tap.stdout, check=False)
        return loaded.returncode or tap.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
