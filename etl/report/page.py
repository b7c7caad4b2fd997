"""Rendering the figures as HTML. The template escapes all values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
import markupsafe
import pandas as pd

from etl import __version__
from etl.report.figures import DAY, SOON_DAYS
from etl.report.periods import by_period
from etl.report.plots import draw

if TYPE_CHECKING:
    import datetime as dt

    from etl.report.figures import Figures

# Longer tables are cut off, with a note of their length.
MAX_ROWS = 20
_UNKNOWN = "\N{EN DASH}"
# Control characters except tab and newline, and characters that change the direction of the text.
_UNPRINTABLE = dict.fromkeys(
    {*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {9, 10},
    "\N{REPLACEMENT CHARACTER}",
)
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def render(figures: Figures) -> str:
    """Return the report of these figures as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("etl.report", "templates"),
        autoescape=True,
        finalize=_replace_unprintable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=as_count, share=as_share, span=as_span, minutes=as_minutes, instant=as_instant, day=as_day
    )
    period, totals = by_period(figures.daily)
    return environment.get_template("report.html").render(
        figures=figures,
        period=period,
        totals=totals.reset_index(),
        last_day=figures.until - DAY,
        plots={name: markupsafe.Markup(svg) for name, svg in draw(totals, period.days).items()},  # noqa: S704
        max_rows=MAX_ROWS,
        soon_days=SOON_DAYS,
        version=__version__,
        rows=_rows,
        is_known=_is_known,
    )


def as_count(value: object) -> str:
    """`1,234`."""
    return f"{int(value):,}" if _is_known(value) else _UNKNOWN  # type: ignore[call-overload]


def as_share(value: object) -> str:
    """`97.5 %`; never 100 % unless it is all of them."""
    if not _is_known(value):
        return _UNKNOWN
    percent = float(value) * 100  # type: ignore[arg-type]
    shown = f"{percent:.1f}"
    return f"{'99.9' if shown == '100.0' and percent < 100 else shown} %"  # noqa: PLR2004


def as_minutes(value: object) -> str:
    """`1,234.5`."""
    return f"{float(value):,.1f}" if _is_known(value) else _UNKNOWN  # type: ignore[arg-type]


def as_span(seconds: object) -> str:
    """`4.2 s`, `3.5 min`, `1.2 h`, `12.0 d`."""
    if not _is_known(seconds):
        return _UNKNOWN
    number = float(seconds)  # type: ignore[arg-type]
    for size, unit in _UNITS:
        if abs(number) >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:.1f} s"


def as_instant(value: object) -> str:
    """`2026-06-26 12:00:05`, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if _is_known(value) else _UNKNOWN


def as_day(value: dt.date) -> str:
    """`26 June 2026`."""
    return f"{value.day} {value:%B %Y}"


def _replace_unprintable(value: object) -> object:
    """Return text without characters that HTML does not allow or that would reorder the text around them."""
    return value.translate(_UNPRINTABLE) if type(value) is str else value


def _rows(frame: pd.DataFrame, limit: int | None = None) -> list[dict[str, Any]]:
    rows = frame if limit is None else frame.head(limit)
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _is_known(value: object) -> bool:
    return not pd.isna(value)  # type: ignore[call-overload]
