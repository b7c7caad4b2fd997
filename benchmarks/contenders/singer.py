"""
Singer: a tap made with the Singer SDK, piped into MeltanoLabs' target for Postgres.

There is no working target for SQLite: target-sqlite 0.2.0 on PyPI requires SQLAlchemy 1.2.12, which cannot be
imported in Python 3.10 and later.
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
    """Return the configuration of the target."""
    url = urlsplit(database)
    # The path of a socket is in the query; the target accepts it only in its own URL.
    host = url.hostname or parse_qs(url.query)["host"][0]
    address = f"postgresql+psycopg://{url.username}@/{url.path[1:]}?host={host}"
    return {
        "sqlalchemy_url": address,
        "default_target_schema": "public",
        "add_record_metadata": False,
        "activate_version": False,
    }


def main(url: str, database: str) -> int:
    """Run the tap and the target."""
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
