"""The notebooks: as they are committed, and wherever and on whatever copy they are run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import sqlalchemy as sa
from nbclient.exceptions import CellExecutionError
from support.notebooks import FOLDER, NOTEBOOKS, Executed, execute
from support.stored import NOON, store_history, store_task

from benchmarks.year import fill_year
from etl.database import open_engine
from etl.models import RUNS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|work|tmp|Users|srv)/|[A-Z]:\\\\", text)


def test_the_commit_hook_has_nothing_to_strip():
    subprocess.run([sys.executable, "-m", "nbstripout", "--verify", *NOTEBOOKS], check=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_import_only_frames_from_etl(path):
    cells = nbformat.read(path, as_version=4).cells
    first, *others = [cell.source for cell in cells if cell.cell_type == "code"]
    assert first == "from etl import frames"
    assert not re.search(r"\b(etl|sqlalchemy|sqlite3|psycopg|read_sql)\b", "\n".join(others))


@pytest.mark.slow
def test_queue_length_over_50000_syncs_fits_cell_timeout(sqlite_databases, jupyter_environment):
    """Comparing each sync with each status span would exceed the time limit of a cell."""
    with sqlite_databases.migrated() as url:
        fill_year(url, tasks=50_000, runs=50_000)
        jupyter_environment.setenv("GCORE_ETL_DATABASE_URL", url)
        executed = execute(FOLDER / "01_throughput_and_queueing.ipynb", url)
    assert len(executed.drawn("Tasks in flight at each sync")["lines"]) > 1


def execute_all(folder: Path) -> Executed:
    """Run all notebooks in one kernel, because starting seven takes long; names are reset between them."""
    one = nbformat.v4.new_notebook()
    for path in NOTEBOOKS:
        one.cells += [*nbformat.read(path, as_version=4).cells, nbformat.v4.new_code_cell("%reset -f")]
    for place, cell in enumerate(one.cells):
        cell.id = str(place)
    nbformat.write(one, folder / "all.ipynb")
    executed = execute(folder / "all.ipynb", "", folder / "notebooks", keep_figures=False)
    assert [each for each in executed.outputs if each.get("name") == "stderr"] == []
    return executed


def test_notebooks_run_on_empty_database(sqlite_databases, jupyter_environment, tmp_path):
    (tmp_path / "notebooks").mkdir()
    with sqlite_databases.migrated() as url:
        jupyter_environment.setenv("GCORE_ETL_DATABASE_URL", url)
        executed = execute_all(tmp_path)
    for said in ("No sync has succeeded yet.", "There are no tasks yet.", "No task has finished yet."):
        assert said in executed.text


def test_notebooks_run_on_demo_with_one_task(sqlite_databases, jupyter_environment, tmp_path):
    (tmp_path / "notebooks").mkdir()
    with sqlite_databases.migrated() as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            store_task(connection, "only", status="SUCCESS", started_at=NOON, created_before=NOON)
            store_history(connection, "only", (0, "discovered", "SUCCESS"))
            run = {"started_at": NOON, "finished_at": NOON, "watermark_after": NOON}
            connection.execute(sa.insert(RUNS).values(mode="full", status="succeeded", **run))
        engine.dispose()
        Path(engine.url.database).rename(tmp_path / "gcore_demo.db")
        jupyter_environment.delenv("GCORE_ETL_DATABASE_URL", raising=False)
        executed = execute_all(tmp_path)
    assert "complete up to 2026-06-26 12:00:00." in executed.text
    assert "It holds 1 tasks that are still in Gcore" in executed.text
    assert "0 of 1 finished tasks failed (0.0%), not counting revoked tasks." in executed.text
    assert "There are no results of content moderation yet." in executed.text
    assert f"Reading the demo database, whose tasks are made up: {tmp_path}/gcore_demo.db." in executed.text


@pytest.mark.parametrize(
    "named",
    [
        None,
        pytest.param("sqlite:///gcore_tasks.db", marks=pytest.mark.slow),
        pytest.param("sqlite:///{}/gcore_tasks.db", marks=pytest.mark.slow),
    ],
)
def test_they_find_the_users_copy_from_their_folder(sqlite_databases, jupyter_environment, tmp_path, named):
    """Jupyter starts each kernel in the folder of the notebook."""
    (tmp_path / "notebooks").mkdir()
    first = nbformat.read(NOTEBOOKS[0], as_version=4)
    del first.cells[9:]
    for name in ("gcore_demo.db", "gcore_tasks.db"):
        with sqlite_databases.migrated() as url:
            Path(open_engine(url).url.database).rename(tmp_path / name)
    nbformat.write(first, tmp_path / "notebooks" / "first.ipynb")
    if named is None:
        jupyter_environment.delenv("GCORE_ETL_DATABASE_URL", raising=False)
    else:
        jupyter_environment.setenv("GCORE_ETL_DATABASE_URL", named.format(tmp_path))
    executed = execute(tmp_path / "notebooks" / "first.ipynb", "", tmp_path / "notebooks", keep_figures=False)
    assert executed.text.startswith(f"Reading {tmp_path}/gcore_tasks.db.\n")
    assert "No sync has succeeded yet." in executed.text


def test_missing_database_error_suggests_sync_or_demo(jupyter_environment, tmp_path):
    first = nbformat.read(NOTEBOOKS[0], as_version=4)
    del first.cells[4:]
    nbformat.write(first, tmp_path / "first.ipynb")
    jupyter_environment.delenv("GCORE_ETL_DATABASE_URL", raising=False)
    with pytest.raises(CellExecutionError, match="run gcore-etl sync, or make demo for made-up tasks"):
        execute(tmp_path / "first.ipynb", "", tmp_path, keep_figures=False)


def test_notebooks_extra_includes_jupyter():
    ended = subprocess.run(
        [sys.executable, "-m", "jupyter", "lab", "--version"], capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    extras = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(each.startswith("jupyterlab") for each in extras["notebooks"])
    assert "jupyter lab notebooks" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")
