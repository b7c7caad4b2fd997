"""Rendering the figures as HTML. The template escapes all values."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jinja2
import markupsafe
import pandas as pd

from etl import __version__
from etl.report.figures import DAY, SOON_DAYS
from etl.report.plots import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """
    The period that one bar of a plot covers, which has about `days` days.

    It is used for ranges of at most `max_days`. `rule` is the frequency for pandas, `form` the date format.
    """

    name: str
    heading: str
    days: float
    max_days: float
    rule: str
    form: str


PERIODS = (
    Period(name="day", heading="day", days=1, max_days=92, rule="D", form="%Y-%m-%d"),
    Period(name="week", heading="week of", days=7, max_days=731, rule="W-MON", form="%Y-%m-%d"),
    Period(name="month", heading="month", days=30, max_days=3_653, rule="MS", form="%Y-%m"),
    Period(name="year", heading="year", days=365, max_days=float("inf"), rule="YS", form="%Y"),
)


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
    environment.filters.update({name: _or_dash(form) for name, form in _FILTERS.items()})
    period = next(each for each in PERIODS if len(figures.daily) <= each.max_days)
    totals = figures.daily.resample(period.rule, label="left", closed="left").sum()
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


def _as_share(share: float) -> str:
    """`97.5%`; never 100% unless it is all of them."""
    percent = float(share) * 100
    shown = f"{percent:.1f}"
    return f"{'99.9' if shown == '100.0' and percent < 100 else shown}%"  # noqa: PLR2004


def _as_span(seconds: float) -> str:
    """`4.2 s`, `3.5 min`, `1.2 h`, `12.0 d`."""
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


_FILTERS: dict[str, Callable[[Any], str]] = {
    "count": lambda number: f"{int(number):,}",
    "day": lambda day: f"{day.day} {day:%B %Y}",
    "instant": lambda instant: f"{instant:%Y-%m-%d %H:%M:%S}",
    "minutes": lambda minutes: f"{float(minutes):,.1f}",
    "share": _as_share,
    "span": _as_span,
}


def _or_dash(form: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a filter that shows a value in this form, and a missing one as a dash."""
    return lambda value: form(value) if _is_known(value) else _UNKNOWN


def _replace_unprintable(value: object) -> object:
    """Return text without characters that HTML does not allow or that would reorder the text around them."""
    return value.translate(_UNPRINTABLE) if type(value) is str else value


def _rows(frame: pd.DataFrame, limit: int | None = None) -> list[dict[Hashable, Any]]:
    return frame.iloc[:limit].to_dict("records")


def _is_known(value: Any) -> bool:  # noqa: ANN401
    return not pd.isna(value)
