"""Read every task of a database into one DataFrame, and write the memory in use; or only import modules."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from etl import frames


def main(database: str, how: str, held: str) -> None:
    """Read with `frames`, with `pandas.read_sql`, or read `nothing`; write the MB then in use."""
    if how == "frames":
        frame = frames.tasks(database)
    elif how == "read_sql":
        with sa.create_engine(database).connect() as connection:
            frame = pd.read_sql(sa.text("SELECT * FROM tasks ORDER BY task_id"), connection)
    else:
        frame = pd.DataFrame()
    gc.collect()
    # Return free memory to the system, so that it does not count.
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    Path(held).write_text(f"{pages * resource.getpagesize() / 1024**2}", encoding="ascii")
    del frame


if __name__ == "__main__":
    main(*sys.argv[1:])
