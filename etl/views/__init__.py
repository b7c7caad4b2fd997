"""
The views for analysts: one `.sql` file each, the same answers on SQLite and on Postgres.

They are plain SQL that both databases read, but for a few functions that neither has. Those are written like
calls, `micros(started_at)`, and replaced here. Times are compared as whole microseconds since 1970, which
both count exactly; what is shown in seconds is divided last, in double precision: not a digit differs.
"""

from __future__ import annotations

import functools
import itertools
import re
import string
from pathlib import Path

# In the order they are made: a view may read those before it.
NAMES = (
    "task_timeline",
    "task_daily",
    "task_durations",
    "task_waits",
    "outcomes",
    "minutes_daily",
    "video_lengths",
    "status_spans",
    "status_transitions",
    "retries",
    "failures",
    "failure_kinds",
    "in_flight",
    "stalls",
    "results_expiring",
    "freshness",
)

# The schema that a view came with: in an older one its name is a user's. Those that are not listed are new.
_SINCE = {
    **dict.fromkeys(("task_timeline", "task_daily", "task_durations", "status_spans"), "0003"),
    **dict.fromkeys(("status_transitions", "failures", "in_flight", "results_expiring"), "0003"),
    **dict.fromkeys(("task_waits", "outcomes", "minutes_daily", "retries"), "0007"),
    **dict.fromkeys(("failure_kinds", "stalls", "freshness"), "0007"),
}
_NEW_SINCE = "0009"

# micros(instant): microseconds since 1970. instant(micros): the way back. utc_day(instant): 'YYYY-MM-DD'.
# seconds(micros): double precision. mean_seconds(micros): their mean over a group. now_micros(): the present.
# place(text, part): where it begins, from 1, or 0. ascii_lower(text): small letters, where they are ASCII.
# percentiles(span), spans(): the query in the file of that name; the first over that column of task_timeline.
# is_plain(text): only letters and digits of ASCII, hyphens and full stops.
_IS_PLAIN = f"(ltrim({{0}}, '{string.ascii_letters}{string.digits}-.') = '')"
_FUNCTIONS = {
    "sqlite": {
        # SQLite's own arithmetic rounds to milliseconds, so it is given whole seconds only.
        "micros": (
            "(CAST(round((julianday(substr({0}, 1, 19)) - 2440587.5) * 86400) AS INTEGER) * 1000000"
            " + substr({0}, 21, 6))"
        ),
        "instant": (
            "(strftime('%Y-%m-%d %H:%M:%S', ({0}) / 1000000, 'unixepoch')"
            " || printf('.%06d', ({0}) % 1000000))"
        ),
        "utc_day": "substr({0}, 1, 10)",
        "seconds": "(CAST(({0}) AS DOUBLE PRECISION) / 1000000)",
        "mean_seconds": "(CAST(sum({0}) AS DOUBLE PRECISION) / count({0}) / 1000000)",
        "now_micros": "CAST((julianday('now') - 2440587.5) * 86400000000 AS BIGINT)",
        "place": "instr({0})",
        "ascii_lower": "lower({0})",
        "is_plain": _IS_PLAIN,
    },
    "postgresql": {
        "micros": "CAST(extract(epoch FROM {0}) * 1000000 AS BIGINT)",
        "instant": "(timestamptz 'epoch' + ({0}) * interval '1 microsecond')",
        "utc_day": "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        "seconds": "(CAST(({0}) AS DOUBLE PRECISION) / 1000000)",
        "mean_seconds": "(CAST(sum({0}) AS DOUBLE PRECISION) / count({0}) / 1000000)",
        "now_micros": "CAST(extract(epoch FROM now()) * 1000000 AS BIGINT)",
        "place": "strpos({0})",
        "ascii_lower": 'lower(({0}) COLLATE "C")',
        "is_plain": _IS_PLAIN,
    },
}
# The argument of a call may hold calls itself, three deep: `seconds(micros(a) - micros(coalesce(b, c)))`.
_ARGUMENT = functools.reduce(lambda inner, _: rf"(?:[^()]|\({inner}\))*", range(3), r"[^()]*")
_TWO_QUERIES = re.compile(
    r".*?^-- SQLite:\n(?P<sqlite>.*)^-- Postgres:\n(?P<postgresql>.*)", re.DOTALL | re.MULTILINE
)
_CALL = re.compile(rf"\b({'|'.join(_FUNCTIONS['sqlite'])}|percentiles|spans)\(({_ARGUMENT})\)")


def names_at(revision: str | None) -> tuple[str, ...]:
    """Return the views that a database at this revision has of ours, in the order they are made."""
    return tuple(name for name in NAMES if revision is not None and _SINCE.get(name, _NEW_SINCE) <= revision)


def definition(name: str, dialect: str) -> str:
    """Return the query that a view is, in the words of one of the databases."""
    queries = {each: _query(each, dialect) for each in ("percentiles", "spans")}
    functions = {**_FUNCTIONS[dialect], **queries}
    source = _query(name, dialect)
    while _CALL.search(source):
        source = _CALL.sub(lambda call: functions[call[1]].format(call[2]), source)
    return source


def comment_of(name: str) -> str:
    """Give what a view says of itself: what a row is, and its units."""
    lines = itertools.takewhile(lambda line: line.startswith("--"), _source(name).splitlines())
    return "\n".join(line.removeprefix("-- ") for line in lines)


def _source(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


def _query(name: str, dialect: str) -> str:
    """Return what a file says, or where it has a query for each database, that one."""
    two = _TWO_QUERIES.fullmatch(_source(name))
    return two[dialect] if two else _source(name)
