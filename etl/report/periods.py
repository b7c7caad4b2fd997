"""The periods into which days are grouped if there are too many for a plot."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


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
    Period(name="week", heading="week from", days=7, max_days=731, rule="W-MON", form="%Y-%m-%d"),
    Period(name="month", heading="month", days=30, max_days=3_653, rule="MS", form="%Y-%m"),
    Period(name="year", heading="year", days=365, max_days=float("inf"), rule="YS", form="%Y"),
)


def by_period(daily: pd.DataFrame) -> tuple[Period, pd.DataFrame]:
    """Return `Figures.daily` summed by day, week (from Monday), month or year."""
    period = next(each for each in PERIODS if len(daily) <= each.max_days)
    return period, daily.resample(period.rule, label="left", closed="left").sum()
