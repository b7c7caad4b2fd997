"""Days put together, where there are more of them than a plot can show."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """
    What one bar of a plot stands for: so many `days`, more or less.

    `most` is how many days of a range are drawn so at the most, `rule` how pandas puts them together, `form`
    how the beginning of one is written.
    """

    name: str
    heading: str
    days: float
    most: float
    rule: str
    form: str


PERIODS = (
    Period(name="day", heading="day", days=1, most=92, rule="D", form="%Y-%m-%d"),
    Period(name="week", heading="week from", days=7, most=731, rule="W-MON", form="%Y-%m-%d"),
    Period(name="month", heading="month", days=30, most=3_653, rule="MS", form="%Y-%m"),
    Period(name="year", heading="year", days=365, most=float("inf"), rule="YS", form="%Y"),
)


def by_period(daily: pd.DataFrame) -> tuple[Period, pd.DataFrame]:
    """Add up `Figures.daily` by days, weeks from Monday, months or years; the first and last may be cut."""
    period = next(each for each in PERIODS if len(daily) <= each.most)
    return period, daily.resample(period.rule, label="left", closed="left").sum()
