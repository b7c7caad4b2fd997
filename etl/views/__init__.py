"""
The views for analysts: each is an entry in the catalog and a `.sql` file, the same on both databases.

A file begins with the description of the view, as a comment, which is also stored in the database. The rest
is SQL that both databases read, apart from a few functions that only one of them has or neither.
Those are written like calls, `micros(started_at)`, and expanded here. Timestamps are compared as whole
microseconds since 1970, which both databases count exactly. Seconds are divided last, in double precision,
so that both give the same digits.
"""

from __future__ import annotations

import functools
import re
import string

from etl.views.definitions import VIEWS, read_file

# In the order of creation.
NAMES = tuple(VIEWS)

# micros(instant): microseconds since 1970
# instant(micros): the reverse
# utc_day(instant): 'YYYY-MM-DD'
# seconds(micros): double precision
# mean_seconds(micros): the mean over a group
# now_micros(): the current time
# place(text, part): the position of the part, from 1, or 0
# ascii_lower(text): lower case, for ASCII letters only
# is_plain(text): whether it consists of ASCII letters, digits, hyphens and full stops
# percentiles(span), spans(): the query in the file of that name, the first for a column of task_timeline
_FUNCTIONS = {
    "seconds": "(CAST(({0}) AS DOUBLE PRECISION) / 1000000)",
    "mean_seconds": "(CAST(sum({0}) AS DOUBLE PRECISION) / count({0}) / 1000000)",
    "is_plain": f"(ltrim({{0}}, '{string.ascii_letters}{string.digits}-.') = '')",
}
_FUNCTIONS_OF = {
    "sqlite": {
        # julianday() rounds to milliseconds, so it only gets whole seconds.
        "micros": (
            "(CAST(round((julianday(substr({0}, 1, 19)) - 2440587.5) * 86400) AS INTEGER) * 1000000"
            " + substr({0}, 21, 6))"
        ),
        "instant": (
            "(strftime('%Y-%m-%d %H:%M:%S', ({0}) / 1000000, 'unixepoch')"
            " || printf('.%06d', ({0}) % 1000000))"
        ),
        "utc_day": "substr({0}, 1, 10)",
        "now_micros": "CAST((julianday('now') - 2440587.5) * 86400000000 AS BIGINT)",
        "place": "instr({0})",
        "ascii_lower": "lower({0})",
    },
    "postgresql": {
        "micros": "CAST(extract(epoch FROM {0}) * 1000000 AS BIGINT)",
        "instant": "(timestamptz 'epoch' + ({0}) * interval '1 microsecond')",
        "utc_day": "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        "now_micros": "CAST(extract(epoch FROM now()) * 1000000 AS BIGINT)",
        "place": "strpos({0})",
        "ascii_lower": 'lower(({0}) COLLATE "C")',
    },
}
_FRAGMENTS = ("percentiles", "spans")
# The argument of a call may contain calls, three levels deep: `seconds(micros(a) - micros(coalesce(b, c)))`.
_ARGUMENT = functools.reduce(lambda inner, _: rf"(?:[^()]|\({inner}\))*", range(3), r"[^()]*")
_CALL = re.compile(rf"\b({'|'.join((*_FUNCTIONS, *_FUNCTIONS_OF['sqlite'], *_FRAGMENTS))})\(({_ARGUMENT})\)")


def names_at(revision: str | None) -> tuple[str, ...]:
    """
    Return our views that a database at this schema revision has, in the order of creation.

    In an older database a later view's name may belong to a view of the user's.
    """
    return tuple(
        view.name for view in VIEWS.values() if revision is not None and view.introduced_in <= revision
    )


def definition(name: str, dialect: str) -> str:
    """Return the query of a view for one database, with its description as a comment."""
    functions = {**_FUNCTIONS, **_FUNCTIONS_OF[dialect]}
    functions |= {each: read_file(each)[1][dialect] for each in _FRAGMENTS}
    comment, queries = read_file(name)
    query = queries[dialect]
    while _CALL.search(query):
        query = _CALL.sub(lambda call: functions[call[1]].format(call[2]), query)
    return "\n".join([*(f"-- {line}" for line in comment), query])


def comment_of(name: str) -> str:
    """Return the description of a view: what a row is, and the units of its columns."""
    return VIEWS[name].description
