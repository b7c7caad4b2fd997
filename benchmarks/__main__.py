"""The command line of the benchmarks."""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks import field, pages, results
from benchmarks.field import KINDS
from benchmarks.measure import (
    AN_HOUR,
    LIMIT,
    ContenderFailed,
    Databases,
    Sample,
    count_rows,
    figures,
    run,
    served,
)
from benchmarks.results import Entry, middle

# The alternatives would take an hour for this number of tasks.
SLOW_FROM = 1_000_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure gcore-etl against a bare prototype and against alternatives."""


def measure(  # noqa: PLR0913
    contender: field.Contender,
    url: str,
    database: str,
    expected: int,
    *,
    again: bool = True,
    limit: float = LIMIT,
) -> list[Sample]:
    """Return the samples of a run on an empty database, and of a second run on the same source."""
    samples = [run(*contender.start(url, database), limit)]
    if again:
        samples.append(run(*(contender.again or contender.start)(url, database), limit))
    # A run that was stopped at the limit may have stored only a part.
    found = expected if samples[-1].wall >= limit else count_rows(database)
    if found != expected:
        raise ContenderFailed(f"{contender.name} stored {found:,} of {expected:,} tasks")
    return samples


@main.command()
@click.option("--tasks", default=20_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def quick(tasks: int, rounds: int, kinds: tuple[str, ...]) -> None:
    """Print our time as a multiple of the prototype's; takes less than a minute."""
    with served(tasks) as url, Databases() as databases:
        for kind in kinds:
            contenders = {
                "gcore-etl": field.OURS,
                "the floor": field.FLOOR,
                "bare": field.PROTOTYPE,
                "hash": field.HASHING,
            }
            runs: dict[str, list[list[Sample]]] = {name: [] for name in contenders}
            for _ in range(rounds):
                for name, contender in contenders.items():
                    runs[name].append(measure(contender, url, databases.empty(kind), tasks))
            for place, what, against in ((0, "full load", "bare"), (1, "over unchanged data", "hash")):
                for name, figure in itertools.product(("gcore-etl", "the floor"), ("wall", "cpu")):
                    ours, theirs = ([each[place] for each in runs[which]] for which in (name, against))
                    ratio = min(getattr(s, figure) for s in ours) / min(getattr(s, figure) for s in theirs)
                    click.echo(
                        f"{kind:9} {what:20} {name:9} {figure:5} {ratio:5.2f} times the prototype "
                        f"({middle(ours, figure):.2f} s against {middle(theirs, figure):.2f} s)"
                    )
            click.echo(f"{kind:9} peak memory {max(each[0].memory for each in runs['gcore-etl']):.0f} MB")


@main.command()
@click.option("--tasks", default=100_000, show_default=True)
@click.option(
    "--rounds", default=3, show_default=True, help="Number of runs of gcore-etl and the prototypes."
)
@click.option("--peers/--no-peers", default=True, help="Also run the alternatives, once each.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
@click.option("--save", is_flag=True, help="Save the figures to docs/benchmarks.json.")
def table(tasks: int, rounds: int, kinds: tuple[str, ...], *, peers: bool, save: bool) -> None:
    """Measure time and memory of two full loads by each contender."""
    entries = []
    others = field.PEERS if peers else []
    with served(tasks) as url, served(1000) as small, Databases() as databases:
        for kind in kinds:
            # A first start compiles modules, and may download something.
            for each in [other for other in others if kind in other.kinds]:
                run(*each.start(small, databases.empty(kind)))
            fast = [field.PROTOTYPE, field.HASHING, field.FLOOR, field.OURS]
            found: dict[str, list[list[Sample]]] = {each.version(): [] for each in fast}
            for _ in range(rounds):
                for each in fast:
                    found[each.version()].append(measure(each, url, databases.empty(kind), tasks))
            for each in [other for other in others if kind in other.kinds]:
                found[each.version()] = [measure(each, url, databases.empty(kind), tasks)]
                click.echo(f"{each.name}, {kind}: {found[each.version()][0][0].wall:.1f} s", err=True)
            entries += [
                Entry(contender=name, kind=kind, tasks=tasks, first=first, again=again)
                for name, runs in found.items()
                for first, again in [map(list, zip(*runs, strict=True))]
            ]
    click.echo(f"{tasks:,} tasks; {'; '.join(results.conditions().values())}\n\n{pages.table(entries)}")
    if save:
        results.save("table", {"tasks": tasks, "rounds": rounds, "entries": entries})


@main.command()
@click.option(
    "--large",
    default=1_000_000,
    show_default=True,
    help="Number of tasks for gcore-etl and the prototype only.",
)
@click.option("--small", multiple=True, type=int, default=[1000, 10_000], show_default=True)
@click.option("--peers/--no-peers", default=True, help="Also run the alternatives.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
@click.option("--save", is_flag=True, help="Save the figures to docs/benchmarks.json.")
def growth(large: int, small: tuple[int, ...], kinds: tuple[str, ...], *, peers: bool, save: bool) -> None:
    """Measure time and memory by number of tasks, at sizes that `table` does not cover."""
    entries = []
    fast = [field.PROTOTYPE, field.OURS]
    for tasks in (*small, large):
        others = field.PEERS if peers and tasks < SLOW_FROM else []
        # The largest size takes minutes on a slow machine, and has no comparison.
        limit = LIMIT if tasks < large else AN_HOUR
        with served(tasks) as url, Databases() as databases:
            for kind in kinds:
                for each in [*fast, *(other for other in others if kind in other.kinds)]:
                    first = measure(each, url, databases.empty(kind), tasks, again=False, limit=limit)
                    entries.append(Entry(contender=each.name, kind=kind, tasks=tasks, first=first, again=[]))
    click.echo(pages.growth_table(entries))
    if save:
        results.save("growth", {"entries": entries})


@main.command()
@click.option("--kind", type=click.Choice(KINDS), default="sqlite", show_default=True)
@click.option("--tasks", default=20_000, show_default=True, help="Number of tasks of the distant server.")
@click.option("--seconds", default=20, show_default=True, help="Duration of a load at each rate limit.")
def far(kind: str, tasks: int, seconds: int) -> None:
    """Measure a server with a long latency, and servers that limit the rate of requests."""
    from benchmarks.distance import measure_latency, measure_rates  # noqa: PLC0415 - not needed by others

    with Databases() as databases:
        for line in itertools.chain(
            measure_latency(databases, kind, tasks), measure_rates(databases, kind, seconds)
        ):
            click.echo(line)


@main.command()
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
@click.option("--tasks", multiple=True, default=[1000, 10_000, 100_000, 1_000_000], show_default=True)
@click.option("--save", is_flag=True, help="Save the figures to docs/benchmarks.json.")
def history(kinds: tuple[str, ...], tasks: tuple[int, ...], *, save: bool) -> None:
    """Measure a sync without new tasks, by number of stored tasks."""
    rows = []
    with Databases() as databases:
        for number in tasks:
            with served(number) as url:
                rows += [_nothing_new(kind, number, url, databases.empty(kind)) for kind in kinds]
    rows.sort(key=lambda row: (row["kind"] != "sqlite", row["tasks"]))
    click.echo(pages.history_table(rows))
    if save:
        results.save("history", {"rows": rows})


def _nothing_new(kind: str, tasks: int, url: str, database: str) -> dict[str, Any]:
    run(*field.OURS.start(url, database), limit=AN_HOUR)
    before = figures(url)["passed"]
    samples = [run(*field.NOTHING_NEW.start(url, database)) for _ in range(5)]
    requests = (figures(url)["passed"] - before) / len(samples)
    seconds = {name: round(middle(samples, name), 3) for name in ("cpu", "wall")}
    return {"kind": kind, "tasks": tasks, "requests": requests, **seconds}


@main.command()
@click.option("--rounds", default=9, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def start(rounds: int, kinds: tuple[str, ...]) -> None:
    """Print the CPU time of a sync with nothing new, as a multiple of importing SQLAlchemy and httpx."""
    with served(1000) as url, Databases() as databases:
        for kind in kinds:
            database = databases.empty(kind)
            run(*field.OURS.start(url, database))
            ours, imports = [], []
            for _ in range(rounds):
                ours.append(run(*field.NOTHING_NEW.start(url, database)).cpu)
                imports.append(run(*field.IMPORTS.start(url, database)).cpu)
            click.echo(
                f"{kind:9} nothing new {min(ours) / min(imports):5.2f} times the imports "
                f"({min(ours):.2f} s against {min(imports):.2f} s)"
            )


@main.command()
@click.option("--tasks", default=100_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def archive(tasks: int, rounds: int, kinds: tuple[str, ...]) -> None:
    """Measure archiving every result against only fetching them, with the client and with httpx alone."""
    with served(tasks) as url, Databases() as databases:
        listed = databases.empty("sqlite")
        run(*field.OURS.start(url, listed))
        for kind in kinds:
            contenders = {
                "archived": field.ARCHIVE,
                "the client alone": field.DETAILS_ALONE,
                "httpx alone": field.HTTPX_ALONE,
            }
            runs: dict[str, list[Sample]] = {name: [] for name in contenders}
            for _ in range(rounds):
                database = databases.empty(kind)
                run(*field.OURS.start(url, database))
                for name, contender in contenders.items():
                    target = database if contender is field.ARCHIVE else listed
                    runs[name].append(run(*contender.start(url, target), limit=AN_HOUR))
            number = count_rows(database, "task_results")
            for name, samples in runs.items():
                wall, cpu = middle(samples, "wall"), middle(samples, "cpu")
                click.echo(
                    f"{kind:9} {number:,} results, {name:16} {wall:6.1f} s, {number / wall:6.0f} a second, "
                    f"{1000 * cpu / number:.2f} ms of CPU each, {middle(samples, 'memory'):.0f} MB"
                )


@main.command()
@click.option("--tasks", "sizes", default=(100_000, 1_000_000), multiple=True, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def export(sizes: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """Measure time and memory of an export in every format."""
    for tasks in sizes:
        with served(tasks) as url, Databases() as databases, tempfile.TemporaryDirectory() as folder:
            for kind in kinds:
                database = databases.empty(kind)
                run(*field.OURS.start(url, database), limit=AN_HOUR)
                for suffix in ("parquet", "csv", "ndjson"):
                    target = Path(folder) / f"{kind}.{suffix}"
                    sample = run(*field.local(database, "export", "tasks", "-o", str(target)), limit=AN_HOUR)
                    click.echo(
                        f"{kind:9} {tasks:10,} tasks {suffix:8} {sample.wall:6.1f} s {sample.memory:6.0f} MB"
                    )


@main.command()
@click.option("--tasks", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def frames(tasks: int, rounds: int, kinds: tuple[str, ...]) -> None:
    """
    Measure reading every task into a DataFrame, against pandas alone, and a report.

    Time, peak memory and memory held at the end are given in excess of a process that reads nothing.
    """
    with served(tasks) as url, Databases() as databases, tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            database = databases.empty(kind)
            run(*field.OURS.start(url, database), limit=AN_HOUR)
            found: dict[str, list[Sample]] = {"nothing": [], "frames": [], "read_sql": []}
            held: dict[str, float] = {}
            note = Path(folder) / "held"
            for _ in range(rounds):
                for how, samples in found.items():
                    samples.append(run(*field.reading(database, how, note), limit=AN_HOUR))
                    held[how] = float(note.read_text(encoding="ascii"))
            start, floor = (middle(found["nothing"], figure) for figure in ("wall", "memory"))
            for how in ("frames", "read_sql"):
                wall, peak = middle(found[how], "wall") - start, middle(found[how], "memory") - floor
                rest = held[how] - held["nothing"]
                click.echo(
                    f"{kind:9} {tasks:,} tasks {how:8} {wall:6.1f} s {peak:6.0f} MB peak, "
                    f"{rest:.0f} MB held: {peak / rest:.2f} times"
                )
            target = Path(folder) / "report.html"
            line = ["report", "-o", str(target), "--since", "2000-01-01"]
            report = run(*field.local(database, *line), limit=AN_HOUR)
            click.echo(
                f"{kind:9} {tasks:,} tasks report   {report.wall:6.1f} s {report.memory:6.0f} MB in all"
            )


@main.command()
@click.option("--transcripts", default=100_000, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def search(transcripts: int, kinds: tuple[str, ...]) -> None:
    """Measure searches for rare and for common words."""
    from benchmarks.searching import measure_searches  # noqa: PLC0415 - slow to import

    with Databases() as databases:
        for kind in kinds:
            for name, hits, milliseconds in measure_searches(databases.empty(kind), transcripts):
                click.echo(f"{kind:9} {name:26} {hits:3} hits {milliseconds:7.1f} ms")


@main.command()
@click.option("--tasks", default=1_000_000, show_default=True)
@click.option("--runs", default=105_120, show_default=True, help="Number of syncs, five minutes apart.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def questions(tasks: int, runs: int, kinds: tuple[str, ...]) -> None:
    """Measure every view, saved query and dashboard panel on a year of syncs."""
    from benchmarks.asking import measure_queries  # noqa: PLC0415 - slow to import
    from benchmarks.year import NOW, fill_year  # noqa: PLC0415 - the same

    with Databases() as databases:
        for kind in kinds:
            database = databases.empty(kind)
            fill_year(database, tasks=tasks, runs=runs)
            for name, rows, seconds in measure_queries(database, since=NOW - dt.timedelta(days=30)):
                click.echo(f"{kind:9} {name:52} {rows:10,} rows {seconds:7.2f} s")


@main.command()
@click.option("--tasks", default=1_000_000, show_default=True, help="Each has four events on average.")
@click.option("--runs", default=105_120, show_default=True, help="Number of syncs, five minutes apart.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
@click.option("--save", is_flag=True, help="Save the figures to docs/benchmarks.json.")
def large(tasks: int, runs: int, kinds: tuple[str, ...], *, save: bool) -> None:
    """Measure every command that reads a copy, on a year of syncs, and the size of the database."""
    from benchmarks.large import fill, measure_commands  # noqa: PLC0415 - slow to import

    copies = []
    for kind in kinds:
        with Databases() as databases, tempfile.TemporaryDirectory() as folder:
            database = databases.empty(kind)
            filled = fill(database, tasks=tasks, runs=runs)
            click.echo(f"{kind:9} {filled['size'] / tasks:.0f} bytes per task; {filled['rows']}", err=True)
            copies.append(
                {"kind": kind, **filled, "commands": list(measure_commands(database, Path(folder)))}
            )
    click.echo(pages.large_table(copies))
    if save:
        results.save("large", {"copies": copies})


@main.command()
def page() -> None:
    """Regenerate docs/benchmarks.md and its plots from the saved results."""
    found = results.load()
    docs = results.FILE.parent
    growth = found["growth"]["entries"] + [each.without_version() for each in found["table"]["entries"]]
    path = docs / "benchmarks.md"
    text = path.read_text(encoding="utf-8")
    parts = {
        "table": pages.table(found["table"]["entries"]),
        "growth": pages.growth_table([each for each in growth if each.contender in (pages.OURS, pages.BARE)]),
        "history": pages.history_table(found["history"]["rows"]),
        "large": pages.large_table(found["large"]["copies"]),
    }
    for name, part in parts.items():
        how = found[name]
        source = f"`{how['command']}`, {how['date']}; {how['machine']}; {how['versions']}."
        text = pages.fill(text, name, f"{source}\n\n{part}")
    path.write_text(text, encoding="utf-8")
    pages.plot_growth(growth, docs / "benchmarks-growth.svg")
    pages.plot_history(found["history"]["rows"], docs / "benchmarks-history.svg")


@main.command()
@click.option("--tasks", default=100_000, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), default="sqlite", show_default=True)
def stages(tasks: int, kind: str) -> None:
    """Print the CPU time of each stage of a first load."""
    from benchmarks.stages import measure_stages  # noqa: PLC0415 - slow to import

    with served(tasks) as url, Databases() as databases:
        for label, seconds in measure_stages(url, databases.empty(kind)).items():
            click.echo(f"{seconds:6.2f} s  {label}")


if __name__ == "__main__":
    main()
