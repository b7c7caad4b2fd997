"""The plots of a report, as SVG that takes its colours and font from the page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

# Placeholders, replaced by the CSS colours of the page, which differ between light and dark mode.
_INK, _FAINT = "#010101", "#020202"
_GOOD, _BAD, _OTHER, _FIRST, _SECOND = "#030303", "#040404", "#050505", "#060606", "#070707"
_CSS_COLOURS = {
    _INK: "currentColor",
    _FAINT: "var(--line)",
    _GOOD: "var(--good)",
    _BAD: "var(--bad)",
    _OTHER: "var(--other)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}
# Narrow, so that text of this size is legible when the plot fills the screen of a phone.
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "figure.figsize": (4.4, 2.5),
    "font.size": 8.5,
    "grid.color": _FAINT,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def draw(totals: pd.DataFrame, days: float) -> Mapping[str, str]:
    """Return the plots of the totals by name, each as an `<svg>`; a row covers this many days."""
    outcomes = {"succeeded": _GOOD, "failed": _BAD, "revoked": _OTHER}
    minutes = {"succeeded_minutes": _FIRST, "other_minutes": _OTHER}
    shown = totals.assign(other_minutes=totals["processed_minutes"] - totals["succeeded_minutes"])
    shown.index = pd.DatetimeIndex(shown.index).tz_localize(None)
    ended = (shown["succeeded"] + shown["failed"]).astype("float64")
    rate = shown["succeeded"].astype("float64") / ended.where(ended > 0)
    with mpl.rc_context(_STYLE):
        return {
            "finished": _bars("finished", shown, days, outcomes, "tasks"),
            "rate": _line("rate", rate, "success rate"),
            "created": _bars("created", shown, days, {"created": _FIRST}, "tasks"),
            "minutes": _bars("minutes", shown, days, minutes, "minutes"),
        }


def _bars(name: str, totals: pd.DataFrame, days: float, colours: Mapping[str, str], unit: str) -> str:
    figure, ax = _axes(unit)
    bottom = totals["created"] * 0
    for column, colour in colours.items():
        label = column.removesuffix("_minutes").replace("_", " ")
        ax.bar(totals.index, totals[column], 0.8 * days, bottom, align="edge", color=colour, label=label)
        bottom = bottom + totals[column]
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    if len(colours) > 1:
        figure.legend(loc="outside upper left", ncols=len(colours))
    return _svg(name, figure)


def _line(name: str, rate: pd.Series[float], unit: str) -> str:
    figure, ax = _axes(unit)
    ax.plot(rate.index, rate, color=_GOOD, marker="o", markersize=3)
    ax.set_ylim(0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    return _svg(name, figure)


def _axes(unit: str) -> tuple[Figure, Axes]:
    figure = Figure(layout="constrained")
    ax = figure.add_subplot()
    ax.set_ylabel(unit)
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    return figure, ax


def _svg(name: str, figure: Figure) -> str:
    """Return the `<svg>` element, without ids that could repeat on the page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", svg[svg.index("<svg") :])
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"font(?:-family)?: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for colour, css in _CSS_COLOURS.items():
        svg = svg.replace(colour, css)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
