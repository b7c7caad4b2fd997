"""The command line of the benchmarks."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from importlib.metadata import version

import click

from benchmarks import field
from benchmarks.measure import ContenderFailed, Databases, Sample, count_rows, figures, run, served
from benchmarks.source import Manner

KINDS = ("sqlite", "postgres")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure gcore-etl against the bare minimum and against what else people use."""


def measure(
    contender: field.Contender, url: str, database: str, expected: int, *, again: bool = True
) -> list[Sample]:
    """Run a contender on an empty database, and once more over the same source."""
    samples = [run(*contender.start(url, database))]
    if again:
        samples.append(run(*(contender.again or contender.start)(url, database)))
    found = count_rows(database)
    if found != expected:
        raise ContenderFailed(f"{contender.name} stored {found:,} of {expected:,} tasks")
    return samples


def middle(samples: list[Sample], name: str) -> float:
    """Give the median of one figure."""
    return statistics.median(getattr(sample, name) for sample in samples)


def machine() -> str:
    """Say where this was measured."""
    names = ("httpx", "msgspec", "sqlalchemy", "psycopg")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores = os.cpu_count()
    python = platform.python_version()
    return (
        f"{cores} cores, {platform.machine()}, Python {python}, SQLite {sqlite3.sqlite_version}, {versions}"
    )


@main.command()
@click.option("--tasks", default=20_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def quick(tasks: int, rounds: int, kinds: tuple[str, ...]) -> None:
    """Give our time as a multiple of the bare prototype's: under a minute, ratios only."""
    with served(tasks) as url, Databases() as databases:
        for kind in kinds:
            runs: dict[str, list[list[Sample]]] = {"ours": [], "bare": [], "hash": []}
            contenders = {"ours": field.OURS, "bare": field.PROTOTYPE, "hash": field.HASHING}
            for _ in range(rounds):
                for name, contender in contenders.items():
                    runs[name].append(measure(contender, url, databases.empty(kind), tasks))
            for place, what, against in ((0, "full load", "bare"), (1, "over unchanged data", "hash")):
                for figure in ("wall", "cpu"):
                    ours, theirs = ([each[place] for each in runs[name]] for name in ("ours", against))
                    ratio = min(getattr(s, figure) for s in ours) / min(getattr(s, figure) for s in theirs)
                    click.echo(
                        f"{kind:9} {what:20} {figure:5} {ratio:5.2f} times the prototype "
                        f"({middle(ours, figure):.2f} s against {middle(theirs, figure):.2f} s)"
                    )
            click.echo(f"{kind:9} peak memory {max(each[0].memory for each in runs['ours']):.0f} MB")


@main.command()
@click.option("--tasks", default=100_000, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="How often ours and the prototypes run.")
@click.option("--peers/--no-peers", default=True, help="Run what other people use, too; once each.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def table(tasks: int, rounds: int, kinds: tuple[str, ...], *, peers: bool) -> None:
    """Load everything into an empty database, and once more, with each contender: seconds, MB."""
    click.echo(f"{tasks:,} tasks; {machine()}\n")
    click.echo("| contender | database | first load | again | CPU | CPU again | peak MB | to the prototype |")
    click.echo("|---|---|--:|--:|--:|--:|--:|--:|")
    with served(tasks) as url, Databases() as databases:
        for kind in kinds:
            fast = [field.PROTOTYPE, field.HASHING, field.OURS]
            found: dict[str, list[list[Sample]]] = {each.name: [] for each in fast}
            for _ in range(rounds):
                for each in fast:
                    found[each.name].append(measure(each, url, databases.empty(kind), tasks))
            for each in field.PEERS if peers else []:
                found[each.name] = [measure(each, url, databases.empty(kind), tasks)]
            base = middle([runs[0] for runs in found[field.PROTOTYPE.name]], "wall")
            for contender, runs in found.items():
                first, again = ([samples[place] for samples in runs] for place in (0, 1))
                seconds = [middle(each, name) for name in ("wall", "cpu") for each in (first, again)]
                memory = max(middle(first, "memory"), middle(again, "memory"))
                cells = [*(f"{each:.2f}" for each in seconds), f"{memory:.0f}", f"{seconds[0] / base:.1f}"]
                click.echo(f"| {contender} | {kind} | {' | '.join(cells)} |")


@main.command()
def far() -> None:
    """Read from a server that is far away, and from one that refuses what is too much."""
    cases = [
        ("100 ms away, 100 tasks a page", 20_000, Manner(latency=0.1, page_cap=100)),
        ("20 requests a second, 100 tasks a page", 40_000, Manner(rate=20, page_cap=100)),
    ]
    with Databases() as databases:
        for what, tasks, manner in cases:
            with served(tasks, manner) as url:
                sample = run(*field.OURS.start(url, databases.empty("sqlite")))
                asked = figures(url)
            click.echo(
                f"{what}: {sample.wall:.1f} s for {asked['passed']} requests "
                f"({tasks / manner.page_cap:.0f} pages), {asked['refused']} refused, "
                f"{asked['passed'] / sample.wall:.1f} a second; "
                f"four at once, the latency alone takes {manner.latency * asked['passed'] / 4:.1f} s"
            )


@main.command()
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def history(kinds: tuple[str, ...]) -> None:
    """Sync when nothing is new, by the number of tasks that are stored."""
    with Databases() as databases:
        for kind in kinds:
            for tasks in (1000, 100_000):
                with served(tasks) as url:
                    database = databases.empty(kind)
                    run(*field.OURS.start(url, database))
                    before = figures(url)["passed"]
                    samples = [run(*field.NOTHING_NEW.start(url, database)) for _ in range(5)]
                    requests = (figures(url)["passed"] - before) / len(samples)
                click.echo(
                    f"{kind:9} {tasks:>9,} stored: {requests:.0f} requests, "
                    f"{middle(samples, 'cpu'):.2f} s of CPU, {middle(samples, 'wall'):.2f} s"
                )


@main.command()
@click.option("--tasks", default=100_000, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), default="sqlite", show_default=True)
def stages(tasks: int, kind: str) -> None:
    """Say how much CPU each stage of a first load takes."""
    from benchmarks.stages import measure_stages  # noqa: PLC0415 - it loads what it measures

    with served(tasks) as url, Databases() as databases:
        for label, seconds in measure_stages(url, databases.empty(kind)).items():
            click.echo(f"{seconds:6.2f} s  {label}")


if __name__ == "__main__":
    main()
