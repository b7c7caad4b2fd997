"""P8 for queries: views, saved queries and panels take at most linear time."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from support.stored import after, store_history, store_task

from benchmarks.asking import measure_queries, queries
from benchmarks.year import NOW, STEP, fill_year
from etl.database import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

TASKS, RUNS = 800, 1600
# Sorting takes a little more than twice as long for twice as many rows; comparing all with all, four times.
MAX_GROWTH = 2.7
# Constant work, which would distort the growth of small numbers.
CONSTANT = 3000
SINCE = NOW - dt.timedelta(days=30)
# The duration of the slowest query, as a multiple of that of reading the history on the same machine.
MAX_RATIO = 6
NAMES = {dialect: list(queries(dialect, since=SINCE)) for dialect in ("sqlite", "postgresql")}


@pytest.fixture(scope="module")
def sqlite_copies(sqlite_databases) -> Iterator[list[sa.Engine]]:
    yield from _copies(sqlite_databases)


@pytest.fixture(scope="module")
def postgres_copies(postgres_databases) -> Iterator[list[sa.Engine]]:
    yield from _copies(postgres_databases)


def _copies(databases) -> Iterator[list[sa.Engine]]:
    """Return a copy, and one with twice as many tasks and syncs."""
    with databases.migrated() as small, databases.migrated() as large:
        for url, times in ((small, 1), (large, 2)):
            fill_year(url, tasks=TASKS * times, runs=RUNS * times)
        engines = [open_engine(url) for url in (small, large)]
        yield engines
        for engine in engines:
            engine.dispose()


def work(engine: sa.Engine, query: str) -> int:
    """Return the work of a query: steps of SQLite's virtual machine, or rows that Postgres processes."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # Compiling a query takes seconds, but does not grow with the rows.
            connection.exec_driver_sql("SET LOCAL jit = off")
            explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")
            return handled(explained.scalar_one()[0]["Plan"])
        ticks = [0]
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: ticks.append(ticks.pop() + 10), 10)
        connection.exec_driver_sql(query).fetchall()
        driver.set_progress_handler(None, 0)
        return ticks[0]


def handled(node: dict[str, Any]) -> int:
    """Return the number of rows that all nodes of a plan return or filter out."""
    rows = node["Actual Rows"] + sum(
        number for name, number in node.items() if name.startswith("Rows Removed by")
    )
    return round(rows * node["Actual Loops"]) + sum(map(handled, node.get("Plans", [])))


def assert_linear(small: int, large: int) -> None:
    assert large <= MAX_GROWTH * small + CONSTANT, f"{small:,} for some, {large:,} for twice as many"


@pytest.mark.parametrize("name", NAMES["sqlite"])
def test_doubling_the_rows_at_most_doubles_the_time_on_sqlite(sqlite_copies, name):
    query = queries("sqlite", since=SINCE)[name]
    assert_linear(*(work(engine, query) for engine in sqlite_copies))


@pytest.mark.parametrize("name", NAMES["postgresql"])
def test_doubling_the_rows_at_most_doubles_the_time_on_postgres(postgres_copies, name):
    query = queries("postgresql", since=NOW - 2 * RUNS * STEP)[name]
    assert_linear(*(work(engine, query) for engine in postgres_copies))


def test_a_quadratic_query_is_detected(sqlite_copies, postgres_copies):
    query = (
        "SELECT count(*) FROM sync_runs JOIN status_spans ON valid_from <= watermark_after"
        " AND (valid_to > watermark_after OR valid_to IS NULL)"
    )
    for engines in (sqlite_copies, postgres_copies):
        with pytest.raises(AssertionError, match="for twice as many"):
            assert_linear(*(work(engine, query) for engine in engines))


# The tasks in flight at each sync, by comparing every sync with every status span.
COMPARED = (
    "SELECT run_id, watermark_after, spans.status, count(*) FROM sync_runs JOIN status_spans AS spans"
    " ON valid_from <= watermark_after AND (valid_to > watermark_after OR valid_to IS NULL)"
    " WHERE spans.status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED')"
    " GROUP BY run_id, watermark_after, spans.status"
)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_queue_at_each_sync_matches_the_status_spans(request, kind):
    engine = request.getfixturevalue(f"{kind}_copies")[0]
    asked = queries(engine.dialect.name, since=NOW - 2 * RUNS * STEP)
    expected = defaultdict(Counter)
    with engine.connect() as connection:
        back = connection.exec_driver_sql("SELECT count(*) FROM task_history WHERE event = 'reappeared'")
        assert back.scalar_one() > 0
        for run_id, at, status, tasks in connection.exec_driver_sql(COMPARED):
            expected[run_id, at][status] = tasks
        assert connection.exec_driver_sql(asked["question as_of"]).all() == [
            (*sync, tasks["PENDING"], tasks["STARTED"], tasks.total())
            for sync, tasks in sorted(expected.items())
        ]
        if kind == "postgres":
            drawn = connection.exec_driver_sql(asked["panel Queue at each sync"]).all()
            assert sorted(drawn) == sorted(
                (at, status, tasks) for (_, at), each in expected.items() for status, tasks in each.items()
            )
            part = queries("postgresql", since=NOW - 50 * STEP)["panel Queue at each sync"]
            since = NOW - 50 * STEP
            assert connection.exec_driver_sql(part).all() == [row for row in drawn if row[0] >= since]


def test_panel_reads_only_history_of_tasks_in_flight_in_its_range(postgres_copies):
    """A month of the dashboard must not take longer because the copy is a year old."""
    for title in ("Queue at each sync", "Time in each status"):
        spent = []
        for engine in postgres_copies:
            query = queries("postgresql", since=NOW - 200 * STEP)[f"panel {title}"]
            with engine.connect() as connection:
                # A small table is scanned rather than looked up; here it stands for a large one.
                for scan in ("seqscan", "hashjoin", "mergejoin"):
                    connection.exec_driver_sql(f"SET LOCAL enable_{scan} = off")
                explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
                spent.append(sum(looked_up(explained.scalar_one()[0]["Plan"])))
        assert spent[1] <= 1.3 * spent[0] + 100


def looked_up(node: dict[str, Any]) -> Iterator[int]:
    if node.get("Index Name") == "ix_task_history_task_id_history_id":
        yield round(node["Actual Rows"] * node["Actual Loops"])
    for child in node.get("Plans", []):
        yield from looked_up(child)


@pytest.mark.parametrize("name", ["view status_spans", "view status_transitions", "question as_of"])
def test_many_progress_changes_of_one_task_do_not_slow_down_queries(databases, name):
    """Its many rows have the same status, and each searches for the next one with another status."""
    spent = []
    for rows in (400, 800):
        with databases.migrated() as url:
            engine = open_engine(url)
            with engine.begin() as connection:
                store_task(connection, "t", status="SUCCESS")
                steps = [(number, "changed", "STARTED") for number in range(rows)]
                store_history(connection, "t", *steps, (rows, "changed", "SUCCESS"))
            spent.append(work(engine, queries(engine.dialect.name, since=after(0))[name]))
            engine.dispose()
    assert spent[1] <= 2.3 * spent[0]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_query_takes_much_longer_than_reading_the_history_of_a_year(sqlite_databases):
    with sqlite_databases.empty() as url:
        fill_year(url, tasks=1_000_000, runs=105_120)
        read = min(seconds_to_read_history(url) for _ in range(3))
        rounds = [{name: seconds for name, _, seconds in measure_queries(url, since=SINCE)} for _ in range(3)]
    # The fastest of three: what else the machine does can only add to the time.
    ratios = {name: min(taken[name] for taken in rounds) / read for name in rounds[0]}
    print(f"reading the history took {read:.2f} s")  # noqa: T201 - shown by `make test-slow`
    for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]):
        print(f"{ratio:6.2f} times that: {name}")  # noqa: T201
    assert {name: ratio for name, ratio in ratios.items() if ratio > MAX_RATIO} == {}


def seconds_to_read_history(url: str) -> float:
    """Return the CPU time of reading all events of all tasks, in order, as the views must."""
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        began = time.process_time()
        cursor.execute("SELECT task_id, status, observed_at FROM task_history ORDER BY task_id, history_id")
        while cursor.fetchmany(1000):
            pass
        seconds = time.process_time() - began
    engine.dispose()
    return seconds
