"""The notebooks on a copy: their figures compared with SQL."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.notebooks import FOLDER, NOTEBOOKS, Executed, execute
from support.stored import as_instant
from support.worlds import query, sync_while_it_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def synced_url(request) -> Iterator[str]:
    databases = request.getfixturevalue(f"{request.param}_databases")
    with databases.migrated() as url:
        sync_while_it_changes(url)
        yield url


@pytest.fixture
def run(synced_url, jupyter_environment) -> Callable[[str], Executed]:
    """Run the notebook of this name, and check what applies to every notebook."""
    jupyter_environment.setenv("GCORE_ETL_DATABASE_URL", synced_url)

    def run(name: str) -> Executed:
        executed = execute(FOLDER / f"{name}.ipynb", synced_url)
        assert [each for each in executed.outputs if each.get("name") == "stderr"] == []
        assert synced_url not in json.dumps(executed.outputs)
        images = [each for each in executed.outputs if "image/png" in each.get("data", {})]
        assert len(images) >= 1
        assert len(executed.axes) >= len(images)
        for ax in executed.axes:
            assert all((ax["title"], ax["x"], ax["y"]))
            assert ax["bars"] or ax["lines"]
        return executed

    return run


def test_every_notebook_has_a_test():
    tested = {name.removeprefix("test_notebook_") for name in globals() if name.startswith("test_notebook_")}
    assert tested == {path.stem for path in NOTEBOOKS}


def test_notebook_00_start_here(run):
    executed = run("00_start_here")
    for check in (check_freshness, check_days, check_spans, check_failures, check_one_task):
        check(executed)


def check_freshness(start_here):
    ((watermark, present),) = query(
        start_here.database_url,
        "SELECT watermark, (SELECT count(*) FROM tasks WHERE removed_at IS NULL) FROM sync_state",
    )
    assert f"complete up to {str(watermark)[:19]}." in start_here.text
    ((removed,),) = query(start_here.database_url, "SELECT count(*) FROM tasks WHERE removed_at IS NOT NULL")
    assert removed > 0
    assert (
        f"It holds {present:,} tasks that are still in Gcore, and {removed:,} removed ones."
        in start_here.text
    )


def check_days(start_here):
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


def check_spans(start_here):
    check_span(start_here, "Wait: time from creation", "wait", "wait_seconds")
    check_span(start_here, "Run time", "run", "duration_seconds")


def check_span(start_here, title, verb, column):
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
        said = f"median {verb} {half:,.0f} s, p95 {most:,.0f} s."
        assert f"{name}: {said}" in start_here.text


def check_failures(start_here):
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, error in query(start_here.database_url, "SELECT task_name, error FROM failures"):
        counts[name][error.split(":")[0]] += 1
    total: Counter[str] = sum(counts.values(), Counter())
    bars = start_here.drawn("Most frequent kinds")["bars"]
    assert {name: sum(values) for name, values in bars.items()} == {
        name: each.total() for name, each in counts.items()
    }
    lengths = [sum(values) for values in zip(*bars.values(), strict=True)]
    assert lengths == sorted(total.values(), reverse=True)
    shown = "".join(each.data.get("text/html", "") for each in start_here.outputs if "data" in each)
    for kind, number in total.items():
        assert re.search(rf"<th>{kind}</th>\s*<td>{number}</td>", shown)
    statement = "SELECT count(*) FROM tasks WHERE status IN ('SUCCESS', 'FAILURE')"
    ((ended,),) = query(start_here.database_url, statement)
    share = f"{total.total() / ended:.1%}"
    assert (
        f"{total.total()} of {ended} finished tasks failed ({share}), not counting revoked tasks."
        in start_here.text
    )


def check_one_task(start_here):
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
    assert f"Since {str(rows[-1][1])[:19]} its status is {rows[-1][0]}." in start_here.text


def dated(rows: list[tuple[Any, ...]]) -> dict[dt.date, tuple[int, ...]]:
    """Return rows that begin with a day, with the missing days filled in."""
    found = {dt.date.fromisoformat(day): tuple(map(int, numbers)) for day, *numbers in rows if day}
    span = (max(found) - min(found)).days + 1
    days = [min(found) + dt.timedelta(days=number) for number in range(span)]
    return {day: found.get(day, (0,) * len(next(iter(found.values())))) for day in days}


ENDS = "SELECT day, sum(succeeded), sum(failed), sum(revoked) FROM outcomes GROUP BY day"


def test_notebook_01_throughput_and_queueing(run):
    executed = run("01_throughput_and_queueing")
    url, text = executed.database_url, executed.text
    days = dated(query(url, ENDS))
    bars = executed.drawn("Tasks finished per day")["bars"]
    columns = zip(*days.values(), strict=True)
    assert bars == dict(zip(("succeeded", "failed", "revoked"), map(list, columns), strict=True))
    total = {day: sum(each) for day, each in days.items()}
    assert f"{sum(total.values()):,} tasks finished on {len(total):,} days" in text
    assert f"The maximum was {max(total.values()):,}, on " in text

    times = [tuple(map(as_instant, row)) for row in query(url, "SELECT started_at, completed_at FROM tasks")]
    hours = Counter(start.hour for start, _ in times if start)
    (drawn,) = executed.drawn("Tasks started per hour")["bars"].values()
    assert drawn == [hours[hour] for hour in range(24)]
    assert f"Most tasks start between {max(range(24), key=lambda hour: hours[hour])}:00 and " in text

    rows = query(url, "SELECT status, started_at, completed_at FROM tasks WHERE started_at IS NOT NULL")
    known = [row for row in rows if row[2] is not None or row[0] == "STARTED"]
    steps = [(as_instant(row[1]), 1) for row in known]
    steps += [(as_instant(row[2]), -1) for row in known if row[2] is not None]
    running = list(itertools.accumulate(step for _, step in sorted(steps)))
    assert f"At most {max(running):,} tasks ran at the same time" in text
    (line,) = executed.drawn("Maximum number of running")["lines"].values()
    assert max(map(int, line[1])) == max(running) > 1

    queue = query(
        url,
        "SELECT watermark_after, spans.status, count(*) FROM sync_runs JOIN status_spans AS spans"
        " ON valid_from <= watermark_after AND (valid_to > watermark_after OR valid_to IS NULL)"
        " WHERE spans.status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED') GROUP BY watermark_after, spans.status",
    )
    for status, (moments, numbers) in executed.drawn("Tasks in flight at each sync")["lines"].items():
        drawn = {moment[:19]: int(number) for moment, number in zip(moments, numbers, strict=True)}
        assert {moment: number for moment, number in drawn.items() if number} == {
            str(moment)[:19]: number for moment, name, number in queue if name == status
        }

    waits = query(url, "SELECT n, p50_seconds, p95_seconds FROM task_waits")
    bars = executed.drawn("Wait before the start")["bars"]
    assert sorted(bars["p50"]) == sorted(row[1] for row in waits)
    assert sorted(bars["p95"]) == sorted(row[2] for row in waits)
    for n, half, most in waits:
        assert f"median wait {half:,.0f} s, p95 {most:,.0f} s ({n:,} tasks)." in text


def test_notebook_02_failures(run):
    executed = run("02_failures")
    url, text = executed.database_url, executed.text
    days = dated(query(url, ENDS))
    (line,) = executed.drawn("Failure rate per day")["lines"].values()
    drawn = {moment[:10]: float(share) for moment, share in zip(*line, strict=True) if not np.isnan(share)}
    ran = {str(day): (failed, succeeded + failed) for day, (succeeded, failed, _) in days.items()}
    assert drawn == pytest.approx({day: failed / every for day, (failed, every) in ran.items() if every})
    failed, every = (sum(numbers) for numbers in zip(*ran.values(), strict=True))
    assert (
        f"{failed:,} of {every:,} finished tasks failed ({failed / every:.1%}), not counting revoked tasks."
        in text
    )

    kinds = query(url, "SELECT error_kind, sum(tasks) FROM failure_kinds GROUP BY error_kind")
    bars = executed.drawn("Most frequent kinds of error")["bars"]
    lengths = [sum(values) for values in zip(*bars.values(), strict=True)]
    assert lengths == sorted((int(tasks) for _, tasks in kinds), reverse=True)

    for title, column, condition in (
        ("Failure rate by host", "host", "1 = 1"),
        ("Failure rate of transcriptions", "audio_language", "task_name = 'transcription'"),
    ):
        rows = query(
            url,
            f"SELECT {column}, sum(failed), sum(succeeded + failed) FROM outcomes WHERE {condition}"
            f" GROUP BY {column} HAVING sum(succeeded + failed) >= 10",
        )
        (bars,) = executed.drawn(title)["bars"].values()
        shares = sorted((float(failed / ended) for _, failed, ended in rows), reverse=True)
        assert bars == pytest.approx(shares[:12])
        assert len(bars) > 1

    progress = query(url, "SELECT progress FROM tasks WHERE status = 'FAILURE' AND progress IS NOT NULL")
    bins, _ = np.histogram([value for (value,) in progress], bins=range(0, 101, 10))
    (bars,) = executed.drawn("Progress at which tasks failed")["bars"].values()
    assert bars == list(bins)


def test_notebook_03_time_in_each_status(run):
    executed = run("03_time_in_each_status")
    url, text = executed.database_url, executed.text
    seen = query(url, "SELECT DISTINCT watermark_after FROM sync_runs ORDER BY watermark_after")
    moments = [as_instant(moment) for (moment,) in seen]
    gaps = [(later - first).total_seconds() / 60 for first, later in itertools.pairwise(moments)]
    (line,) = executed.drawn("Time between syncs")["lines"].values()
    assert line[1] == pytest.approx(gaps)
    assert f"There were {len(moments):,} syncs." in text

    ended: dict[str, list[float]] = defaultdict(list)
    lasting: Counter[str] = Counter()
    for status, seconds in query(
        url,
        "SELECT status, seconds FROM status_spans WHERE status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED')",
    ):
        if seconds is None:
            lasting[status] += 1
        else:
            ended[status].append(seconds / 60)
    lines = executed.drawn("Time in each status")["lines"]
    assert {name: list(line[0][1:]) for name, line in lines.items()} == {
        f"{status} ({len(minutes):,} periods)": pytest.approx(sorted(minutes))
        for status, minutes in ended.items()
    }
    assert len(ended) > 1
    for status, number in lasting.items():
        assert f"{number:,} tasks have the status {status} now." in text

    steps = query(url, "SELECT from_status, to_status, transitions FROM status_transitions")
    (bars,) = executed.drawn("Status changes")["bars"].values()
    assert bars == sorted((number for *_, number in steps), reverse=True)
    ((again, succeeded),) = query(
        url, "SELECT count(*), count(CASE WHEN status = 'SUCCESS' THEN 1 END) FROM retries"
    )
    assert f"{again:,} tasks were restarted; {succeeded:,} of them succeeded later." in text

    events = query(url, "SELECT event, count(*) FROM task_history GROUP BY event")
    first = query(url, "SELECT event, count(*) FROM task_history WHERE run_id = 1 GROUP BY event")
    bars = executed.drawn("Events of each sync")["bars"]
    assert {event: sum(numbers) for event, numbers in bars.items()} == {
        event: number - dict(first).get(event, 0) for event, number in events
    }
    for event, number in events:
        assert f"{event}: {number:,} events." in text


def test_notebook_04_moderation_findings(run):
    executed = run("04_moderation_findings")
    url, text = executed.database_url, executed.text
    kinds = query(
        url,
        "SELECT kind, count(*), count(CASE WHEN detected THEN 1 END) FROM task_results"
        " WHERE state = 'archived' AND detected IS NOT NULL GROUP BY kind",
    )
    bars = executed.drawn("Results of content moderation")["bars"]
    drawn = sorted(zip(bars["with detections"], bars["without detections"], strict=True))
    assert drawn == sorted((found, number - found) for _, number, found in kinds)
    for kind, number, found in kinds:
        assert f"{kind}: detections in {found:,} of {number:,} results ({found / number:.1%})." in text

    labels = query(url, "SELECT label, count(DISTINCT task_id) FROM detections GROUP BY label")
    (bars,) = executed.drawn("Labels by number of videos")["bars"].values()
    assert bars == sorted((number for _, number in labels), reverse=True)[:12]
    rows = query(url, "SELECT confidence FROM detections WHERE confidence IS NOT NULL")
    known = [value for (value,) in rows]
    bars = executed.drawn("Confidence of the detections")["bars"]
    bins, _ = np.histogram(known, bins=20, range=(0, 1))
    # Each kind is drawn on top of those before it.
    assert [sum(values) for values in zip(*bars.values(), strict=True)] == list(bins)
    assert (
        f"{sum(value < 0.6 for value in known):,} of {len(known):,} detections have a confidence below"
        in text
    )
    ((worst, findings),) = query(
        url,
        "SELECT task_id, count(*) FROM detections GROUP BY task_id"
        " ORDER BY count(*) DESC, max(confidence) DESC LIMIT 1",
    )
    assert f"has the most detections: {findings:,}." in text
    assert worst

    weeks: dict[str, list[bool]] = defaultdict(list)
    for completed_at, detected in query(
        url,
        "SELECT completed_at, detected FROM task_results JOIN tasks ON tasks.task_id = task_results.task_id"
        " WHERE state = 'archived' AND detected IS NOT NULL AND completed_at IS NOT NULL",
    ):
        day = as_instant(completed_at).date()
        weeks[str(day - dt.timedelta(days=day.weekday()))].append(bool(detected))
    (line,) = executed.drawn("Share of results with detections")["lines"].values()
    drawn = {week[:10]: share for week, share in zip(*line, strict=True)}
    assert drawn == pytest.approx({week: sum(found) / len(found) for week, found in weeks.items()})


def test_notebook_05_transcripts_and_languages(run):
    executed = run("05_transcripts_and_languages")
    url, text = executed.database_url, executed.text
    rows = query(
        url,
        "SELECT task_results.task_id, languages, audio_language, speech_detected FROM task_results"
        " JOIN tasks ON tasks.task_id = task_results.task_id"
        " WHERE state = 'archived' AND kind = 'transcription'",
    )
    heard = {row[0]: json.loads(row[1]) if isinstance(row[1], str) else row[1] or [] for row in rows}
    counts = Counter(language for languages in heard.values() for language in languages)
    (bars,) = executed.drawn("Languages by number")["bars"].values()
    assert bars == sorted(counts.values(), reverse=True)[:15]
    silent = sum(row[3] is not None and not row[3] for row in rows)
    assert f"{silent:,} of {len(rows):,} transcripts have no speech." in text
    assert f"The others contain {len(counts)} languages." in text
    asked = [(row[2], heard[row[0]]) for row in rows if row[2] and heard[row[0]]]
    right = sum(language in languages for language, languages in asked)
    assert f"The requested language was detected in {right:,} of {len(asked):,} videos." in text
    (bars,) = executed.drawn("How often the requested language")["bars"].values()
    assert len(bars) == min(15, len({language for language, _ in asked}))

    lines = query(url, "SELECT task_id, end_seconds - start_seconds, text FROM subtitles")
    videos: dict[str, float] = defaultdict(float)
    for task_id, seconds, _ in lines:
        videos[task_id] += seconds or 0
    (bars,) = executed.drawn("Minutes of speech")["bars"].values()
    bins, _ = np.histogram([seconds / 60 for seconds in videos.values()], bins=30)
    assert bars == list(bins)
    hours = sum(videos.values()) / 3600
    assert (
        f"{len(videos):,} transcripts have {len(lines):,} subtitles, which cover {hours:,.1f} hours." in text
    )

    paces: dict[str, list[float]] = defaultdict(list)
    for task_id, seconds in videos.items():
        if len(heard.get(task_id, ())) == 1 and seconds > 0:
            characters = sum(len(said) for each, _, said in lines if each == task_id)
            paces[heard[task_id][0]].append(characters / seconds * 60)
    (bars,) = executed.drawn("Speed of speech")["bars"].values()
    medians = sorted((float(np.median(each)) for each in paces.values()), reverse=True)
    assert bars == pytest.approx(medians[:15])
    times = Counter(said for *_, said in lines)
    most = min(said for said, number in times.items() if number == max(times.values()))
    hits = [task_id for task_id, _, said in lines if most.casefold() in said.casefold()]
    assert f"occurs {len(hits):,} times, in {len(set(hits)):,} videos." in text


def test_notebook_06_cost(run):
    executed = run("06_cost")
    url, text = executed.database_url, executed.text
    minutes = "sum(processed_minutes), sum(succeeded_minutes)"
    rows = query(url, f"SELECT day, {minutes} FROM minutes_daily GROUP BY day")
    days = {dt.date.fromisoformat(day): (processed, succeeded) for day, processed, succeeded in rows}
    bars = executed.drawn("Processing minutes per day")["bars"]
    span = [min(days) + dt.timedelta(days=n) for n in range((max(days) - min(days)).days + 1)]
    every = [days.get(day, (0, 0)) for day in span]
    others = [processed - succeeded for processed, succeeded in every]
    assert bars["succeeded"] == pytest.approx([succeeded for _, succeeded in every])
    assert bars["other"] == pytest.approx(others, abs=1e-6)
    processed, succeeded = (sum(numbers) for numbers in zip(*every, strict=True))
    assert f"ran for {processed:,.1f} minutes, succeeded tasks for {succeeded:,.1f} (" in text
    check_lower_bound(executed)
    ((done,),) = query(url, "SELECT count(*) FROM tasks WHERE status = 'SUCCESS'")
    assert f"is known for 0 of {done:,} succeeded tasks." in text
    assert "Without the lengths of the videos, the bill cannot be estimated." in text
    assert not [ax for ax in executed.axes if "Cost" in ax["title"]]

    users: dict[str, float] = defaultdict(float)
    wasted: dict[str, list[float]] = defaultdict(list)
    for name, status, user, seconds in query(
        url,
        "SELECT tasks.task_name, tasks.status, client_user_id, duration_seconds FROM tasks"
        " JOIN task_timeline ON task_timeline.task_id = tasks.task_id WHERE duration_seconds IS NOT NULL",
    ):
        users[user or "none"] += seconds / 60
        if status in {"FAILURE", "REVOKED"}:
            wasted[f"{name}, {status}"].append(seconds / 60)
    (bars,) = executed.drawn("Processing time by user")["bars"].values()
    assert bars == pytest.approx(sorted(users.values(), reverse=True)[:12])
    (bars,) = executed.drawn("Processing time of failed")["bars"].values()
    assert bars == pytest.approx([sum(minutes) for _, minutes in sorted(wasted.items())])
    number = sum(map(len, wasted.values()))
    total = sum(map(sum, wasted.values()))
    assert f"{number:,} failed or revoked tasks ran for {total:,.1f} minutes." in text


def check_lower_bound(cost):
    ends: dict[str, float] = {}
    months: dict[str, float] = defaultdict(float)
    for task_id, ended, end in query(
        cost.database_url,
        "SELECT subtitles.task_id, completed_at, end_seconds FROM subtitles"
        " JOIN tasks ON tasks.task_id = subtitles.task_id WHERE status = 'SUCCESS' ORDER BY end_seconds",
    ):
        months[f"{str(ended)[:7]}"] += (end - ends.get(task_id, 0)) / 60
        ends[task_id] = end
    (bars,) = cost.drawn("Minimum length of transcribed videos")["bars"].values()
    assert bars == pytest.approx([length for _, length in sorted(months.items())])
    assert f"{len(ends):,} transcriptions have subtitles; " in cost.text
    assert f"at least {sum(months.values()):,.1f} minutes long." in cost.text


def test_cost_is_estimated_from_video_lengths(synced_url, jupyter_environment, tmp_path):
    rows = query(
        synced_url, "SELECT task_id, completed_at FROM tasks WHERE status = 'SUCCESS' ORDER BY task_id"
    )
    lengths = {task_id: 60.0 * place + 30 for place, (task_id, _) in enumerate(rows[:20])}
    ((failed,), *_) = query(synced_url, "SELECT task_id FROM tasks WHERE status = 'FAILURE'")
    lines = [f"{task_id},{seconds}" for task_id, seconds in {**lengths, failed: 1e6}.items()]
    (tmp_path / "video_lengths.csv").write_text("\n".join(["task_id,video_seconds", *lines]))
    jupyter_environment.setenv("GCORE_ETL_DATABASE_URL", synced_url)
    executed = execute(FOLDER / "06_cost.ipynb", synced_url, tmp_path)
    assert f"is known for 20 of {len(rows):,} succeeded tasks." in executed.text
    costs: dict[str, float] = defaultdict(float)
    for task_id, ended in rows[:20]:
        costs[str(ended)[:7]] += lengths[task_id] / 60
    for month, cost in costs.items():
        assert f"{month}: {cost:,.2f} EUR" in executed.text
    (bars,) = executed.drawn("Cost per month")["bars"].values()
    assert bars == pytest.approx([cost for _, cost in sorted(costs.items())])
