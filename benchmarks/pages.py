"""The tables and plots of docs/benchmarks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.field import KINDS
from benchmarks.measure import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.results import Entry

OURS, BARE = "gcore-etl", "bare prototype"
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
# The minimum ratio of the heights of two labels.
LABEL_APART = 1.22
# Legible on white and on black.
INK, ACCENT, QUIET = "#7d8590", "#d9480f", "#3b82c4"


def table(entries: Iterable[Entry]) -> str:
    """Return the entries as a Markdown table, the fastest first."""
    lines = [
        (
            "| contender | database | first load, s | ratio to gcore-etl | second load, s "
            "| ratio to gcore-etl | first load, CPU s | second load, CPU s | peak memory, MB |"
        ),
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in KINDS:
        here = sorted((each for each in entries if each.kind == kind), key=lambda each: each.figure("wall"))
        ours = next((each for each in here if _is(each, OURS)), None)
        for each in here:
            first, again = each.figure("wall"), each.figure("wall", again=True)
            mark = "**" if each is ours else ""
            cells = [
                *(f"{mark}{each.contender}{mark}", NAMES[kind]),
                *(_seconds(first), _ratio(first, ours and ours.figure("wall"))),
                *(_seconds(again), _ratio(again, ours and ours.figure("wall", again=True))),
                *(f"{each.figure('cpu'):.2f}", f"{each.figure('cpu', again=True):.2f}", f"{each.memory:.0f}"),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(figure: float, ours: float | None) -> str:
    if not ours:
        return ""
    return f"over {figure / ours:.0f}" if figure >= LIMIT else f"{figure / ours:.2f}"


def _seconds(figure: float) -> str:
    return f"over {LIMIT:.0f}" if figure >= LIMIT else f"{figure:.2f}"


def _is(entry: Entry, name: str) -> bool:
    return entry.contender == name or entry.contender.startswith(f"{name} (")


def growth_table(entries: Iterable[Entry]) -> str:
    """Return a Markdown table of time and memory by number of tasks."""
    lines = [
        "| contender | database | tasks | first load, s | µs per task | peak memory, MB |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for each in sorted(entries, key=lambda each: (each.kind != "sqlite", each.contender, each.tasks)):
        wall = each.figure("wall")
        lines.append(
            f"| {each.contender} | {NAMES[each.kind]} | {each.tasks:,} | {wall:.2f} | "
            f"{wall / each.tasks * 1e6:.1f} | {max(sample.memory for sample in each.first):.0f} |"
        )
    return "\n".join(lines)


def history_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the cost of a sync without new tasks."""
    lines = ["| database | tasks stored | requests | CPU, s | wall, s |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {NAMES[row['kind']]} | {row['tasks']:,} | {row['requests']:.0f} | {row['cpu']:.2f} | "
        f"{row['wall']:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def large_table(copies: list[dict[str, Any]]) -> str:
    """Return Markdown tables of the size of each copy and of the cost of each command on it."""
    lines = ["| database | rows of each table | size, MB | bytes per task |", "|---|---|--:|--:|"]
    for copy in copies:
        rows = ", ".join(f"{name} {number:,}" for name, number in copy["rows"].items())
        per_task = copy["size"] / copy["rows"]["tasks"]
        lines.append(f"| {NAMES[copy['kind']]} | {rows} | {copy['size'] / 1e6:,.0f} | {per_task:,.0f} |")
    lines += ["", "| command | database | wall, s | CPU, s | peak memory, MB |", "|---|---|--:|--:|--:|"]
    lines += [
        f"| {each['command']} | {NAMES[copy['kind']]} | {each['wall']:.2f} | {each['cpu']:.2f} | "
        f"{each['memory']:.0f} |"
        for copy in copies
        for each in copy["commands"]
    ]
    return "\n".join(lines)


def fill(page: str, marker: str, text: str) -> str:
    """Return the page with new text between the two lines of a marker."""
    start, end = f"<!-- {marker} -->", f"<!-- end of {marker} -->"
    before, rest = page.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{text}\n{end}{after}"


def plot_growth(entries: list[Entry], file: Path) -> None:
    """Plot seconds by number of tasks for each contender, with a panel for each database."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(14, 5.5), sharey=True, layout="constrained")
    for kind, panel in zip(KINDS, panels, strict=True):
        lines = {
            name: sorted((each.tasks, each.figure("wall")) for each in entries if _is_of(each, name, kind))
            for name in dict.fromkeys(each.contender for each in entries if each.kind == kind)
        }
        for name, points in lines.items():
            panel.plot(
                *zip(*points, strict=True), "o-", color=_colour(name), lw=2.5 if name == OURS else 1.2, ms=4
            )
        for name, (place, height) in _spread({name: points[-1] for name, points in lines.items()}).items():
            panel.annotate(
                f"  {name}",
                (place, height),
                color=_colour(name),
                fontsize=8,
                va="center",
                annotation_clip=False,
            )
        panel.set(xscale="log", yscale="log", title=NAMES[kind], xlabel="tasks")
        panel.set_xlim(right=2e7)
    panels[0].set_ylabel("seconds for a first load")
    _finish(figure, panels, file)


def _is_of(entry: Entry, name: str, kind: str) -> bool:
    return entry.contender == name and entry.kind == kind


def _colour(name: str) -> str:
    return ACCENT if name == OURS else QUIET if name == BARE else INK


def _spread(ends: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return positions of the labels on a logarithmic scale at which none covers another."""
    found: dict[str, tuple[float, float]] = {}
    lowest: dict[float, float] = {}
    for name, (place, height) in sorted(ends.items(), key=lambda each: each[1][1]):
        found[name] = (place, max(height, lowest.get(place, 0.0)))
        lowest[place] = found[name][1] * LABEL_APART
    return found


def plot_history(rows: list[dict[str, Any]], file: Path) -> None:
    """Plot the cost of a sync without new tasks by number of stored tasks."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for panel, name, label in zip(panels, ("requests", "cpu"), ("requests", "CPU seconds"), strict=True):
        for kind, colour in zip(KINDS, (ACCENT, QUIET), strict=True):
            points = [(row["tasks"], row[name]) for row in rows if row["kind"] == kind]
            panel.plot(*zip(*points, strict=True), "o-", color=colour, label=NAMES[kind])
        panel.set(xscale="log", xlabel="tasks stored", ylabel=label)
        panel.set_ylim(bottom=0)
    panels[0].legend(frameon=False, labelcolor=INK)
    _finish(figure, panels, file)


def _pyplot() -> Any:  # noqa: ANN401
    import matplotlib as mpl  # noqa: PLC0415 - only needed for plots

    mpl.use("svg")
    # Makes the output reproducible.
    mpl.rcParams.update({"svg.hashsalt": "gcore-etl", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    return plt


def _finish(figure: Any, panels: Any, file: Path) -> None:  # noqa: ANN401
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(which="both", colors=INK)
        panel.grid(visible=True, color=INK, alpha=0.2, lw=0.5)
        for part in (panel.title, panel.xaxis.label, panel.yaxis.label):
            part.set_color(INK)
        for side in ("left", "bottom"):
            panel.spines[side].set_color(INK)
    figure.savefig(file, transparent=True, metadata={"Date": None})
