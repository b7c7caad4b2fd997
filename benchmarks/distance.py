"""Loads from a distant server, and from servers that limit the rate of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import field
from benchmarks.measure import Databases, count_rows, figures, run, served
from benchmarks.source import SourceBehaviour

if TYPE_CHECKING:
    from collections.abc import Iterator

LATENCY = 0.1
CONCURRENT = (4, 8, 32)
RATES = (2, 5, 20, 100)
WINDOWS = ((20, 1.0), (5, 10.0))
PER_PAGE = 100


def measure_latency(databases: Databases, kind: str, tasks: int) -> Iterator[str]:
    """Yield a line for each number of concurrent requests, and one for results."""
    behaviour = SourceBehaviour(latency=LATENCY, page_cap=PER_PAGE)
    for concurrency in CONCURRENT:
        database = databases.empty(kind)
        with served(tasks, behaviour) as url:
            sample = run(*field.concurrent(field.OURS, concurrency)(url, database))
            requests = figures(url)["passed"]
        ideal = LATENCY * tasks / PER_PAGE / concurrency
        yield (
            f"{LATENCY * 1000:.0f} ms away, {concurrency:2} at once: {tasks:,} tasks in {sample.wall:.2f} s "
            f"({sample.cpu:.2f} s of CPU), {sample.wall / ideal:.2f} times latency x pages / {concurrency}; "
            f"{requests} requests for {tasks // PER_PAGE} pages"
        )
    concurrency, tasks, database = max(CONCURRENT), tasks // 4, databases.empty(kind)
    with served(tasks) as url:
        run(*field.OURS.start(url, database))
    with served(tasks, behaviour) as url:
        wall = run(*field.concurrent(field.ARCHIVE, concurrency)(url, database)).wall
    number = count_rows(database, "task_results")
    ideal = LATENCY * number / concurrency
    yield (
        f"{LATENCY * 1000:.0f} ms away, {concurrency:2} at once: {number:,} results in {wall:.2f} s, "
        f"{ideal / wall:.0%} of what the latency allows"
    )


def measure_rates(databases: Databases, kind: str, seconds: int) -> Iterator[str]:
    """Yield a line for each rate limit, with a list that takes so many seconds at that rate."""
    for rate, window in (*((rate, None) for rate in RATES), *WINDOWS):
        pages = rate * seconds
        behaviour = SourceBehaviour(rate=rate, window=window, page_cap=PER_PAGE)
        with served(pages * PER_PAGE, behaviour) as url:
            wall = run(*field.OURS.start(url, databases.empty(kind)), limit=300).wall
            found = figures(url)
        what = f"{rate} requests a second"
        if window is not None:
            what = f"{rate * window:.0f} requests in each {window:.0f} s"
        yield (
            f"a server that takes {what}: {wall:.1f} s for {found['passed']} requests ({pages} pages), "
            f"{found['refused']} refused; {found['passed'] / wall / rate:.0%} of what it takes, "
            f"{wall * rate / pages:.2f} times pages / {rate}"
        )
