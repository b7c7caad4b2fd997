"""An export that is read back equals the table, and no file is ever incomplete."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import errno
import io
import itertools
import json
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import parquet
from support.absent import give_up
from support.grids import one_in
from support.stored import after, store_result, store_task
from support.worlds import a_world, query, settings_for

from etl import frames
from etl.catalog import ColumnType
from etl.database import open_engine
from etl.emulator import Behaviour, serve
from etl.errors import ExportError
from etl.export import FORMATS, export
from etl.export.subtitle_files import file_name
from etl.export.tables import NO_PERIOD
from etl.frames.selection import SELECTIONS
from etl.sync.api import run_sync

# Text that a spreadsheet, a shell or a file format might misinterpret.
HOSTILE = '=cmd|"/c calc"!A1,\n"quoted" -->\r\n\ttab 🎬 \u2028 <b>'


@pytest.fixture
def synced(database_url):
    """Return the URL of a database with rows in all tables."""
    world = a_world(60)
    for place, task in enumerate(list(world.tasks.values())[:3]):
        task.own_data = {
            **task.task_data,
            "client_entity_data": HOSTILE,
            "client_user_id": f"{'+-@'[place]}1",
        }
    with serve(world, Behaviour(extra_fields={"later": [1, {"a": None}]})) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        world.advance(dt.timedelta(hours=3))
        run_sync(settings)
    return database_url


def frame_of(name: str, url: str) -> pd.DataFrame:
    """Return the frame, with categories as text."""
    read = {"task_results": frames.results, "sync_runs": frames.runs}.get(name) or getattr(frames, name, None)
    frame = read(url) if read else frames.view(name, url)
    words = [column for column in frame if isinstance(frame[column].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(words, "string"))


def read_back(file: Path, name: str, like: pd.DataFrame) -> pd.DataFrame:
    """Read a file with pandas, converting the columns to their types."""
    types = SELECTIONS[name].types
    if file.suffix == ".parquet":
        frame = pd.read_parquet(file)
    elif file.suffix == ".csv":
        frame = pd.read_csv(file, dtype="string", keep_default_na=False, na_values=[""])
    else:
        lines = file.read_bytes().splitlines()
        frame = pd.DataFrame([json.loads(line) for line in lines], columns=list(like), dtype=object)
    for column, expected in like.items():
        found = frame[column]
        if types[column] is ColumnType.JSON:
            values = [None if isinstance(value, float) else value for value in found.astype(object)]
            if file.suffix != ".ndjson":
                values = [json.loads(value) if isinstance(value, str) else None for value in values]
            frame[column] = pd.Series(values, dtype=object)
        elif types[column] in {ColumnType.TIMESTAMP, ColumnType.DAY}:
            frame[column] = pd.to_datetime(found, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
        elif expected.dtype == "boolean":
            truth = {"true": True, "false": False, True: True, False: False}
            frame[column] = pd.array([truth.get(v) if pd.notna(v) else None for v in found], dtype="boolean")
        elif expected.dtype in ("Int64", "float64"):
            frame[column] = pd.to_numeric(found).astype(expected.dtype)
        else:
            frame[column] = found.astype("string")
    return frame


def without_empty_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace empty text by null, because pandas reads both as the same from CSV."""
    return frame.replace({"": pd.NA})


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_read_back_equals_the_table(synced, tmp_path, kind):
    for name in SELECTIONS:
        file = tmp_path / f"{name}.{kind}"
        rows = export(name, file, source=synced)
        expected = frame_of(name, synced)
        # These count from now and have changed since the export.
        passing = [c for c in ("age_seconds", "unchanged_seconds", "days_left") if c in expected]
        found = read_back(file, name, expected).drop(columns=passing)
        expected = expected.drop(columns=passing)
        if kind == "csv":
            found, expected = without_empty_text(found), without_empty_text(expected)
        assert rows == len(expected)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_column_type=False)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [f".{kind}"] * len(SELECTIONS)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_table_is_exported_with_its_columns(migrated_url, tmp_path, kind):
    file = tmp_path / f"tasks.{kind}"
    assert export("tasks", file, source=migrated_url) == 0
    if kind == "parquet":
        assert list(pd.read_parquet(file).columns) == list(SELECTIONS["tasks"].columns)
    else:
        assert file.read_text().count("\n") == (1 if kind == "csv" else 0)


def test_parquet_has_the_same_types_whatever_the_rows(synced, tmp_path):
    for name in SELECTIONS:
        schemas = []
        for place, options in enumerate([{}, {"task_name": "nothing"}]):
            file = tmp_path / f"{name}{place}.parquet"
            with contextlib.suppress(ExportError):
                export(name, file, source=synced, **options)
                schemas.append(parquet.read_schema(file))
        assert schemas[0] == schemas[-1]


def test_csv_contains_exactly_the_stored_values(engine, migrated_url, tmp_path):
    texts = [
        HOSTILE,
        "- Et toi ?",
        "=1+1",
        "'",
        "",
        None,
        "00042",
        'a"b',
        "a,b",
        "\r",
        " ",
        "é\ufeff",
        "x" * 40_000,
    ]
    with engine.begin() as connection:
        for number, text in enumerate(texts):
            store_task(connection, f"t{number:02}", client_user_id=text, task_data={"=": text})
    file = tmp_path / "tasks.csv"
    export("tasks", file, source=migrated_url)
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["client_user_id"] for row in rows] == [text or "" for text in texts]
    assert [json.loads(row["task_data"]) for row in rows] == [{"=": text} for text in texts]
    # Empty text is in quotes, null is not.
    lines = file.read_text(encoding="utf-8").split("\n")
    assert any(line.startswith("t04,") and ',"",' in line for line in lines)
    assert not any(line.startswith("t05,") and ',"",' in line for line in lines)
    assert not file.read_bytes().startswith(b"\xef\xbb\xbf")
    before = file.read_bytes()
    export("tasks", file, source=migrated_url, is_raw=True)
    assert file.read_bytes() == before


def test_csv_for_excel_follows_the_rules_of_excel(engine, migrated_url, tmp_path, caplog):
    with engine.begin() as connection:
        store_task(
            connection,
            "t",
            client_user_id="00042",
            client_entity_data="- Et toi ?",
            client_id=9_007_199_254_740_993_123,
            started_at=after(0.25),
            total_time_sec=1.5,
        )
        store_result(connection, "t", "archived", text="x" * 40_000, vtt="é")
    file = tmp_path / "tasks.csv"
    export("tasks", file, source=migrated_url, excel_separator=";")
    assert file.read_bytes().startswith(b"\xef\xbb\xbftask_id;")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        (row,) = csv.DictReader(lines, delimiter=";")
    assert row["client_user_id"] == '="00042"'
    assert row["client_entity_data"] == "'- Et toi ?"
    assert row["client_id"] == '="9007199254740993123"'
    assert row["started_at"] == "2026-06-26 12:00:00"
    assert row["total_time_sec"] == "1,5"
    assert not caplog.records
    export("task_results", file, source=migrated_url, excel_separator=",")
    assert caplog.messages == ["cells truncated to 32,767 characters, the limit of Excel: 1"]
    folder = tmp_path / "parts"
    export("tasks", folder, source=migrated_url, format="csv", partition_by="day", excel_separator=",")
    assert (folder / "day=2026-06-26" / "part-0.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with pytest.raises(ExportError, match="--excel writes CSV, not parquet"):
        export("tasks", tmp_path / "t.parquet", source=migrated_url, excel_separator=",")


def test_numbers_and_times_in_ndjson_are_exact(engine, migrated_url, tmp_path):
    large, small = 9_007_199_254_740_993_123, {"n": [12345678901234567890123, 0.1, 1e-300, None, -0.0]}
    with engine.begin() as connection:
        store_task(
            connection, "t", client_id=large, task_data=small, started_at=after(0), completed_at=after(1e-6)
        )
    file = tmp_path / "tasks.ndjson"
    export("tasks", file, source=migrated_url)
    (row,) = map(json.loads, file.read_bytes().splitlines())
    assert (row["client_id"], row["task_data"]) == (large, small)
    assert (row["started_at"], row["completed_at"]) == (
        "2026-06-26T12:00:00.000000Z",
        "2026-06-26T12:00:00.000001Z",
    )
    assert row["total_time_sec"] is None


def test_memory_does_not_grow_with_the_results(engine, migrated_url, tmp_path):
    size, number = 50_000, 1200
    with engine.begin() as connection:
        for place in range(number):
            store_task(connection, f"{place:04}")
            store_result(connection, f"{place:04}", "archived", text=f"{place:04}" * (size // 4))
    tracemalloc.start()
    try:
        assert export("task_results", tmp_path / "results.ndjson", source=migrated_url) == number
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size * number


def test_task_type_status_and_time_filter_an_export(synced, tmp_path):
    file = tmp_path / "out.ndjson"
    since, until = dt.datetime(2026, 6, 10, tzinfo=dt.UTC), dt.datetime(2026, 6, 20, tzinfo=dt.UTC)
    for name in ("tasks", "task_results", "subtitles", "detections", "task_history", "task_timeline"):
        export(
            name, file, source=synced, task_name="transcription", status="SUCCESS", since=since, until=until
        )
        ids = {json.loads(line)["task_id"] for line in file.read_bytes().splitlines()}
        known = {
            row[0]
            for row in query(
                synced,
                "SELECT task_id FROM tasks WHERE task_name = 'transcription' AND status = 'SUCCESS'",
            )
        }
        assert ids <= known
        assert bool(ids) == (name not in {"detections", "task_history"})
    with pytest.raises(ExportError, match="no column task_name to filter: omit --task-name"):
        export("status_transitions", file, source=synced, task_name="x")
    with pytest.raises(ExportError, match="task_durations has no time"):
        export("task_durations", file, source=synced, since=since)


@one_in(3, "kind, name, period", FORMATS, ["tasks", "subtitles", "task_daily"], ["day", "month"])
def test_every_row_is_in_the_partition_of_its_time(synced, tmp_path, kind, name, period):
    folder = tmp_path / "out"
    rows = export(name, folder, source=synced, format=kind, partition_by=period)
    expected = frame_of(name, synced)
    parts = []
    for place in folder.iterdir():
        key, _, value = place.name.partition("=")
        # The column from the folder's name differs from the columns of the view.
        assert key == ("partition_day" if (name, period) == ("task_daily", "day") else period)
        (file,) = place.iterdir()
        part = read_back(file, name, expected)
        parts.append(part)
        if name == "task_daily" and value != NO_PERIOD:
            assert set(part["day"].dt.strftime("%Y-%m-%d" if period == "day" else "%Y-%m")) == {value}
    assert sum(map(len, parts)) == rows == len(expected)
    assert len(parts) > (3 if period == "day" else 0)


def test_an_existing_export_is_replaced_only_with_may_replace(synced, tmp_path):
    folder = tmp_path / "out"
    export("tasks", folder, source=synced, format="csv", partition_by="day")
    with pytest.raises(ExportError, match="--force replaces it"):
        export("tasks", folder, source=synced, format="csv", partition_by="month")
    export("tasks", folder, source=synced, format="csv", partition_by="month", may_replace=True)
    assert {path.name.partition("=")[0] for path in folder.iterdir()} == {"month"}
    export("task_daily", folder, source=synced, format="csv", partition_by="day", may_replace=True)
    export("task_daily", folder, source=synced, format="csv", partition_by="day", may_replace=True)
    assert {path.name.partition("=")[0] for path in folder.iterdir()} == {"partition_day"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("failing", [1, 2])
def test_the_previous_export_stays_in_place_if_the_new_one_cannot_take_it(
    synced, tmp_path, monkeypatch, failing
):
    """A folder is replaced by two renames, and either may fail."""
    folder = tmp_path / "out"
    export("tasks", folder, source=synced, format="csv", partition_by="day")
    before = sorted(folder.rglob("*"))
    calls, rename = itertools.count(1), Path.rename

    def fail_once(path: Path, target: Path) -> Path:
        if next(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(ExportError, match=f"cannot write {folder}: Input/output error"):
        export("tasks", folder, source=synced, format="csv", partition_by="month", may_replace=True)
    assert sorted(folder.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_previous_export_that_cannot_be_deleted_is_named(synced, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    export("tasks", folder, source=synced, format="csv", partition_by="day")

    def refuse(_folder: Path, *, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(ExportError, match=r"the export is complete, but .*\.replaced cannot be deleted"):
        export("tasks", folder, source=synced, format="csv", partition_by="month", may_replace=True)
    assert {path.name.partition("=")[0] for path in folder.iterdir()} == {"month"}


def test_a_folder_with_other_files_is_not_replaced(synced, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for target in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ExportError, match="choose another"):
            export("tasks", target, source=synced, format="csv", partition_by="day", may_replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_export_leaves_the_previous_file(synced, tmp_path, monkeypatch):
    file = tmp_path / "tasks.csv"
    file.write_text("before")
    monkeypatch.setattr("etl.export.writers.CsvWriter.write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export("tasks", file, source=synced)
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.csv"]


def test_the_target_of_a_link_is_replaced_but_never_a_database(synced, tmp_path, sqlite_databases):
    (tmp_path / "link.csv").symlink_to(tmp_path / "tasks.csv")
    (tmp_path / "tasks.csv.part").write_text("mine")
    export("tasks", tmp_path / "link.csv", source=synced)
    assert (tmp_path / "link.csv").is_symlink()
    assert len((tmp_path / "tasks.csv").read_text().splitlines()) > 60
    assert (tmp_path / "tasks.csv.part").read_text() == "mine"
    with sqlite_databases.migrated() as url:
        file = Path(open_engine(url).url.database)
        before = file.read_bytes()
        for target in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}.lock")):
            with pytest.raises(ExportError, match="is a database, or belongs to one: choose another file"):
                export("tasks", target, source=synced, format="csv")
        assert file.read_bytes() == before


def test_a_replaced_file_keeps_its_mode(synced, tmp_path):
    file = tmp_path / "tasks.csv"
    file.write_text("before")
    file.chmod(0o640)
    export("tasks", file, source=synced)
    assert file.stat().st_mode & 0o777 == 0o640


def test_an_unwritable_standard_output_is_reported(synced, monkeypatch):
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for stream, said in ((io.TextIOWrapper(Full()), "No space left on device"), (None, "name a file")):
        monkeypatch.setattr("sys.stdout", stream)
        with pytest.raises(ExportError, match=said):
            export("tasks", None, source=synced)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_is_reported_in_one_line(synced, kind):
    device = Path("/dev/full")
    if not device.exists():
        give_up(f"there is no {device} here")
    with pytest.raises(ExportError, match="cannot write /dev/full: No space left on device"):
        export("tasks", device, source=synced, format=kind)


def test_a_pipe_receives_every_row_and_remains_a_pipe(synced, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        number = export("tasks", pipe, source=synced, format="ndjson")
        assert len(read.result().split("\n")) - 1 == number > 0
    assert pipe.is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_an_unwritable_target_is_reported_in_one_line(synced, tmp_path):
    with pytest.raises(ExportError, match=r"cannot write .*: No such file or directory"):
        export("tasks", tmp_path / "missing" / "tasks.csv", source=synced)
    with pytest.raises(ExportError, match="does not end with a format"):
        export("tasks", tmp_path / "tasks.xlsx", source=synced)


IDS = [
    "../../etc/passwd",
    "a/b",
    "",
    ".",
    "CON",
    "con",
    "nul",
    "x" * 300,
    "Ab",
    "aB",
    "ab",
    "a\0b",
    "com1",
    "ü",
]


def test_no_id_becomes_a_dangerous_file_name():
    names = [file_name(task_id) for task_id in IDS]
    assert len({name.casefold() for name in names}) == len(IDS)
    assert all(Path(name).name == name and len(name) <= 100 and name.isascii() for name in names)
    assert not {"con", "nul", "com1"} & set(names)
    assert file_name("0b43d934-5529-44c2-b0b5-0b0689c31952") == "0b43d934-5529-44c2-b0b5-0b0689c31952"
