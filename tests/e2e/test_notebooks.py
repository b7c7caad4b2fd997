"""The notebooks: committed clean, and run from top to bottom on a copy whose figures SQL knows."""

from __future__ import annotations

import datetime as dt
import gc
import json
import re
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import pytest
import sqlalchemy as sa
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from support.stored import NOON, store_history, store_task
from support.worlds import query, sync_while_it_changes

from etl.database import open_engine
from etl.models import SyncRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
START_HERE = FOLDER / "00_start_here.ipynb"

# Run before and after a notebook, in its kernel: keep every figure, and tell what is drawn in it.
KEEP_FIGURES = """
import matplotlib.pyplot
def _keep(make, kept):
    def figure(*arguments, **options):
        kept.append(make(*arguments, **options))
        return kept[-1]
    return figure
_figures = []
matplotlib.pyplot.figure = _keep(matplotlib.pyplot.figure, _figures)
"""
TELL_FIGURES = """
import json
def _tell(ax):
    return {
        "title": ax.get_title(), "x": ax.get_xlabel(), "y": ax.get_ylabel(),
        "bars": {bars.get_label(): [float(value) for value in bars.datavalues] for bars in ax.containers},
        "lines": {line.get_label(): [[*line.get_xdata()], [*line.get_ydata()]] for line in ax.lines},
    }
print(json.dumps([_tell(ax) for figure in _figures for ax in figure.axes], default=str))
"""


class Executed:
    """What a notebook printed, showed and drew."""

    def __init__(self, path: Path, database_url: str, outputs: list[NotebookNode], drawn: str) -> None:
        self.path, self.database_url, self.outputs = path, database_url, outputs
        self.text = "".join(each.text for each in outputs if each.get("name") == "stdout")
        self.axes: list[dict[str, Any]] = json.loads(drawn)

    def drawn(self, title: str) -> dict[str, Any]:
        """Give the one plot whose title begins so."""
        (ax,) = [ax for ax in self.axes if ax["title"].startswith(title)]
        return ax


def execute(path: Path, database_url: str, folder: Path = FOLDER) -> Executed:
    """Run a notebook; raises CellExecutionError for a cell that fails."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(KEEP_FIGURES))
    notebook.cells.append(nbformat.v4.new_code_cell(TELL_FIGURES))
    with warnings.catch_warnings():
        # The client leaves two sockets to the garbage collector, which therefore comes by in here.
        warnings.filterwarnings("ignore", "Unclosed socket <zmq", ResourceWarning)
        run_cells(notebook, folder)
        gc.collect()
    *outputs, drawn = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return Executed(path, database_url, outputs, drawn.text)


def run_cells(notebook: NotebookNode, folder: Path) -> None:
    kernel = AsyncKernelManager()
    # This very Python, and not the one that happens to be registered by the name in the notebook.
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel._kernel_spec = KernelSpec(argv=command, language="python", display_name="this Python")
    NotebookClient(notebook, km=kernel, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory) -> Iterator[pytest.MonkeyPatch]:
    """Keep Jupyter and IPython out of the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield patch


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def synced_url(request) -> Iterator[str]:
    databases = request.getfixturevalue(f"{request.param}_databases")
    with databases.migrated() as url:
        sync_while_it_changes(url)
        yield url


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def executed(request, synced_url, environment) -> Executed:
    environment.setenv("GCORE_ETL_DATABASE_URL", synced_url)
    return execute(request.param, synced_url)


@pytest.fixture
def start_here(executed) -> Executed:
    if executed.path != START_HERE:
        pytest.skip("of another notebook")
    return executed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_what_running_it_leaves(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    subprocess.run([sys.executable, "-m", "nbstripout", "--verify", path], check=True)
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|work|tmp|Users|srv)/|[A-Z]:\\\\", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_reads_frames_and_no_database(path):
    cells = nbformat.read(path, as_version=4).cells
    first, *others = [cell.source for cell in cells if cell.cell_type == "code"]
    assert first == "from etl import frames"
    assert not re.search(r"\b(etl|sqlalchemy|sqlite3|psycopg|read_sql)\b", "\n".join(others))


def test_every_notebook_runs_without_a_complaint_and_without_showing_the_database_url(executed):
    assert [each for each in executed.outputs if each.get("name") == "stderr"] == []
    assert executed.database_url not in json.dumps(executed.outputs)


def test_every_plot_can_be_understood_without_the_code(executed):
    images = [each for each in executed.outputs if "image/png" in each.get("data", {})]
    assert len(images) >= 1
    assert len(executed.axes) >= len(images)
    for ax in executed.axes:
        assert all((ax["title"], ax["x"], ax["y"]))
        assert ax["bars"] or ax["lines"]


def test_it_says_how_fresh_the_copy_is(start_here):
    ((watermark, present),) = query(
        start_here.database_url,
        "SELECT watermark, (SELECT count(*) FROM tasks WHERE removed_at IS NULL) FROM sync_state",
    )
    assert f"complete up to {str(watermark)[:19]}." in start_here.text
    ((removed,),) = query(start_here.database_url, "SELECT count(*) FROM tasks WHERE removed_at IS NOT NULL")
    assert removed > 0
    assert (
        f"It holds {present:,} tasks of the source, and {removed:,} that are gone there." in start_here.text
    )


def test_it_draws_and_says_how_many_tasks_there_are_per_day_and_type(start_here):
    counts: dict[str, dict[dt.date, int]] = {}
    for day, name, tasks in query(
        start_here.database_url, "SELECT day, task_name, sum(tasks) FROM task_daily GROUP BY day, task_name"
    ):
        counts.setdefault(name, {})[dt.date.fromisoformat(day)] = int(tasks)
    days = sorted({day for each in counts.values() for day in each})
    span = [days[0] + dt.timedelta(days=number) for number in range((days[-1] - days[0]).days + 1)]
    bars = start_here.drawn("Tasks created per day")["bars"]
    assert bars == {name: [each.get(day, 0) for day in span] for name, each in counts.items()}
    totals = {day: sum(each.get(day, 0) for each in counts.values()) for day in span}
    assert f"{sum(totals.values()):,} tasks on {len(span)} days, " in start_here.text
    assert f", with {max(totals.values()):,} tasks." in start_here.text
    for name, each in counts.items():
        assert f"  {sum(each.values()):,} {name}\n" in start_here.text


@pytest.mark.parametrize(
    "title, verb, column",
    [("Time from creation", "wait", "wait_seconds"), ("Time that tasks run", "run", "duration_seconds")],
)
def test_it_draws_and_says_how_long_tasks_wait_and_run(start_here, title, verb, column):
    known = "AND created_error_seconds IS NOT NULL" if verb == "wait" else ""
    seconds: dict[str, list[float]] = {}
    statement = f"SELECT task_name, {column} FROM task_timeline WHERE {column} IS NOT NULL {known}"
    for name, value in query(start_here.database_url, statement):
        seconds.setdefault(name, []).append(value)
    lines = start_here.drawn(title)["lines"]
    assert len(lines) == len(seconds) == 2
    for name, values in seconds.items():
        drawn = lines[f"{name} ({len(values):,} tasks)"]
        assert drawn[0][1:] == sorted(values)
        half, most = np.percentile(values, [50, 95])
        said = f"half of the tasks {verb} no longer than {half:,.0f} s, 95 % no longer than {most:,.0f} s."
        assert f"{name}: {said}" in start_here.text


def test_it_draws_and_says_what_failed_and_why(start_here):
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, error in query(start_here.database_url, "SELECT task_name, error FROM failures"):
        counts[name][error.split(":")[0]] += 1
    total: Counter[str] = sum(counts.values(), Counter())
    bars = start_here.drawn("Why tasks failed")["bars"]
    assert {name: sum(values) for name, values in bars.items()} == {
        name: each.total() for name, each in counts.items()
    }
    lengths = [sum(values) for values in zip(*bars.values(), strict=True)]
    assert lengths == sorted(total.values(), reverse=True)
    shown = "".join(each.data.get("text/html", "") for each in start_here.outputs if "data" in each)
    for reason, number in total.items():
        assert re.search(rf"<th>{reason}</th>\s*<td>{number}</td>", shown)
    statement = "SELECT count(*) FROM tasks WHERE status IN ('SUCCESS', 'FAILURE')"
    ((ended,),) = query(start_here.database_url, statement)
    said = f"{total.total()} of {ended} tasks that ran to their end failed ({total.total() / ended:.1%})."
    assert said in start_here.text


def test_it_draws_and_says_what_became_of_one_task(start_here):
    ax = start_here.drawn("Status and progress of task ")
    rows = query(
        start_here.database_url,
        "SELECT status, observed_at FROM task_history WHERE task_id = :id ORDER BY history_id",
        id=ax["title"].rsplit(" ", 1)[1],
    )
    assert len({status for status, _ in rows}) > 1
    (line,) = ax["lines"].values()
    assert line[1] == [status for status, _ in rows]
    assert [moment[:19] for moment in line[0]] == [str(moment)[:19] for _, moment in rows]
    assert f"Since {str(rows[-1][1])[:19]} it is in {rows[-1][0]}." in start_here.text


def test_it_finds_the_demo_beside_its_folder_and_makes_do_with_one_task(
    sqlite_databases, environment, tmp_path
):
    (tmp_path / "notebooks").mkdir()
    with sqlite_databases.migrated() as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            store_task(connection, "only", status="SUCCESS", started_at=NOON, created_before=NOON)
            store_history(connection, "only", (0, "discovered", "SUCCESS"))
            run = {"started_at": NOON, "finished_at": NOON, "watermark_after": NOON}
            connection.execute(sa.insert(SyncRun).values(mode="full", status="succeeded", **run))
        engine.dispose()
        Path(engine.url.database).rename(tmp_path / "gcore_demo.db")
        environment.delenv("GCORE_ETL_DATABASE_URL", raising=False)
        executed = execute(START_HERE, "gcore_demo.db", tmp_path / "notebooks")
    assert [each for each in executed.outputs if each.get("name") == "stderr"] == []
    assert "complete up to 2026-06-26 12:00:00." in executed.text
    assert "It holds 1 tasks of the source" in executed.text
    assert "0 of 1 tasks that ran to their end failed (0.0%)." in executed.text
