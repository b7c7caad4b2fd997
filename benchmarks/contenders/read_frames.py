"""Read every task of a database into one frame, and say how large it is; or only load what that takes."""

from __future__ import annotations

import sys

import pandas as pd
import sqlalchemy as sa

from etl import frames


def main(database: str, how: str) -> None:
    """Read with `frames`, with `pandas.read_sql`, or read `nothing`; print the MB of the frame."""
    if how == "frames":
        frame = frames.tasks(database)
    elif how == "read_sql":
        with sa.create_engine(database).connect() as connection:
            frame = pd.read_sql(sa.text("SELECT * FROM tasks ORDER BY task_id"), connection)
    else:
        frame = pd.DataFrame()
    print(f"{len(frame)} {frame.memory_usage(deep=True).sum() / 1e6:.0f}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
