"""The list: index and pages must equal a naive sort and filter of all tasks."""

import contextlib
import datetime as dt
import json
import uuid
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.emulator import STATUSES, Behaviour, IllegalTransition, World
from etl.emulator.pages import PageNotFound, render_page
from etl.emulator.query import BadParameter, parse_query, select

NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
ORDERINGS = ("task_id", "status", "task_name", "started_at")
BASE = World.seeded(80, seed=5)


@dataclass
class Naive:
    """A naive implementation of the list."""

    world: World
    behaviour: Behaviour

    def ids(self, params):
        kept = [task for task in self.world.tasks.values() if self.keeps(task, params)]
        ordering = params.get("ordering", "-started_at")
        field = ordering.removeprefix("-")
        kept.sort(key=lambda task: task.task_id)
        if field != "task_id":
            absent = [task for task in kept if getattr(task, field) is None]
            present = [task for task in kept if getattr(task, field) is not None]
            if ordering.startswith("-"):
                present.sort(key=lambda task: task.task_id, reverse=True)
                present.sort(key=lambda task: getattr(task, field))
                present.reverse()
            else:
                present.sort(key=lambda task: getattr(task, field))
            kept = absent + present if self.behaviour.nulls == "first" else present + absent
        return [task.task_id for task in kept]

    def keeps(self, task, params):
        text = json.dumps(task.task_data, ensure_ascii=False, separators=(",", ":"))
        words = (task.task_id, task.task_name, task.status, text)
        return (
            params.get("status", task.status) == task.status
            and params.get("task_name", task.task_name) == task.task_name
            and params.get("task_id", task.task_id) == task.task_id
            and any(params.get("search", "").lower() in word.lower() for word in words)
            and self.keeps_date(task.created_at, params.get("date_created"))
        )

    def keeps_date(self, created, text):
        if text is None:
            return True
        zone = dt.timezone(self.behaviour.utc_offset)
        asked = dt.datetime.fromisoformat(text)
        asked = asked.replace(tzinfo=zone) if asked.tzinfo is None else asked
        return {
            "gte": created >= asked,
            "lte": created <= asked,
            "day": created.astimezone(zone).date() == asked.astimezone(zone).date(),
            "exact": created == asked,
            "ignored": True,
        }[self.behaviour.date_created]


def listed(world, behaviour, params):
    return [task.task_id for task in select(parse_query(params, behaviour), world.index, behaviour)]


def some_date(draw):
    task = draw(st.sampled_from(list(BASE.tasks.values())))
    at = task.created_at + draw(
        st.sampled_from([dt.timedelta(0), dt.timedelta(hours=-7), dt.timedelta(days=1)])
    )
    return draw(st.sampled_from([at.isoformat(), at.replace(tzinfo=None).isoformat(), at.date().isoformat()]))


@st.composite
def parameters(draw):
    known = draw(st.sampled_from(sorted(BASE.tasks)))
    params = {
        "task_id": st.sampled_from([known, str(uuid.UUID(int=1))]),
        "task_name": st.sampled_from(["transcription", "content-moderation"]),
        "status": st.sampled_from(sorted(STATUSES)),
        "search": st.sampled_from(
            ["NSFW", "example.org", "user-1", known[:5], "SUCC", "moderation", "库", "客户"]
        ),
        "ordering": st.sampled_from(ORDERINGS),
        "date_created": st.just(some_date(draw)),
    }
    names = draw(st.sets(st.sampled_from(sorted(params)), max_size=3))
    return {name: draw(params[name]) for name in names}


behaviours = st.builds(
    Behaviour,
    nulls=st.sampled_from(["first", "last"]),
    date_created=st.sampled_from(["gte", "lte", "day", "exact", "ignored"]),
    utc_offset=st.sampled_from([dt.timedelta(0), dt.timedelta(hours=5, minutes=30), dt.timedelta(hours=-8)]),
)


@settings(deadline=None, max_examples=300)
@given(parameters(), behaviours)
def test_filters_and_ordering_match_naive_implementation(params, behaviour):
    assert listed(BASE, behaviour, params) == Naive(BASE, behaviour).ids(params)


@settings(deadline=None)
@given(parameters(), behaviours, st.integers(1, 120), st.integers(1, 60))
def test_pages_concatenate_to_the_full_list(params, behaviour, limit, cap):
    expected, found, page = Naive(BASE, behaviour).ids(params), [], 1
    while True:
        query = parse_query(params | {"page": str(page), "limit": str(limit)}, behaviour)
        answer = json.loads(render_page(query, BASE.index, behaviour, cap))
        assert answer["count"] == len(expected)
        assert answer["previous"] == (f"page={page - 1}" if page > 1 else None)
        found += [record["task_id"] for record in answer["results"]]
        assert (answer["next"] is None) == (len(found) == len(expected))
        if answer["next"] is None:
            break
        assert answer["next"] == f"page={page + 1}"
        assert len(answer["results"]) == min(limit, cap)
        page += 1
    assert found == expected


ACTS = (
    "start",
    "send_back",
    "retry",
    "finish",
    "fail",
    "revoke",
    "delete",
    "create",
    "revive",
    "wait",
    "raw",
)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 10**6)), max_size=25))
def test_index_stays_consistent_after_changes(acts):
    world, behaviour = World.seeded(30, seed=9, arrivals_per_hour=60), Behaviour()
    looks = [{"ordering": name} for name in ORDERINGS] + [{}, {"status": "STARTED"}, {"status": "REVOKED"}]
    looks += [{"task_name": "transcription"}, {"search": "STARTED"}, {"date_created": "2026-06-20"}]
    naive = Naive(world, behaviour)
    for look in looks:
        listed(world, behaviour, look)  # so that there is something to keep up to date
    for act, number in acts:
        do(world, act, number)
        for look in looks:
            assert listed(world, behaviour, look) == naive.ids(look)


def do(world, act, number):
    ids = sorted(world.deleted if act == "revive" else world.tasks)
    if act == "create":
        world.create(has_plan=number % 2 == 0)
    elif act == "wait":
        world.advance(dt.timedelta(seconds=number % 4000))
    elif ids and act == "raw":
        world.replace_raw(ids[number % len(ids)], b'{"status": "STARTED", "task_data": {"task_name": "x"}}')
    elif ids:
        with contextlib.suppress(IllegalTransition):
            getattr(world, act)(ids[number % len(ids)])


def test_random_ties_only_reorder_equal_tasks():
    behaviour = Behaviour(ties_at_random=True)
    orders = {tuple(listed(BASE, behaviour, {"ordering": "status"})) for _ in range(5)}
    assert len(orders) > 1
    for order in orders:
        assert sorted(order) == sorted(BASE.tasks)
        statuses = [BASE.tasks[task_id].status for task_id in order]
        assert statuses == sorted(statuses)
    assert len({tuple(listed(BASE, behaviour, {"ordering": "task_id"})) for _ in range(5)}) == 1


def test_descending_order_is_supported_if_enabled():
    behaviour = Behaviour(ordering_descending=True)
    assert listed(BASE, behaviour, {"ordering": "-started_at"}) == listed(BASE, behaviour, {})
    with pytest.raises(BadParameter, match="ordering"):
        listed(BASE, Behaviour(), {"ordering": "-started_at"})


def test_ignored_ordering_falls_back_to_default():
    behaviour = Behaviour(ordering_ignored=True)
    assert listed(BASE, behaviour, {"ordering": "task_id"}) == listed(BASE, Behaviour(), {})
    assert listed(BASE, behaviour, {"ordering": "task_id"}) != listed(
        BASE, Behaviour(), {"ordering": "task_id"}
    )


def test_ignored_task_id_filter_lists_all_tasks():
    params = {"task_id": str(uuid.uuid4())}
    assert listed(BASE, Behaviour(task_id_ignored=True), params) == listed(BASE, Behaviour(), {})
    assert listed(BASE, Behaviour(), params) == []


@pytest.mark.parametrize(
    "params",
    [
        {"page": "0"}, {"page": "-1"}, {"page": "abc"}, {"page": "1.5"}, {"page": "²"}, {"limit": "-1"},
        {"limit": "0"}, {"limit": "ten"}, {"task_id": "nobody"}, {"date_created": "yesterday"},
        {"date_created": "2026-13-01"}, {"ordering": "progress"}, {"ordering": "-task_id"},
    ],
    ids=str,
)  # fmt: skip
def test_invalid_parameter_is_rejected(params):
    with pytest.raises(BadParameter, match=next(iter(params))):
        parse_query(params, Behaviour())


def test_unknown_status_is_rejected_or_matches_nothing():
    assert listed(BASE, Behaviour(), {"status": "PAUSED"}) == []
    with pytest.raises(BadParameter, match="PAUSED"):
        parse_query({"status": "PAUSED"}, Behaviour(unknown_status_rejected=True))


def test_page_past_the_end_is_empty_or_404():
    world, behaviour = World.seeded(20), Behaviour()
    past = parse_query({"page": "3", "limit": "10"}, behaviour)
    assert json.loads(render_page(past, world.index, behaviour, 1000))["results"] == []
    with pytest.raises(PageNotFound):
        render_page(past, world.index, Behaviour(past_end="404"), 1000)
    empty = render_page(parse_query({}, behaviour), World().index, Behaviour(past_end="404"), 1000)
    assert json.loads(empty) == {"count": 0, "next": None, "previous": None, "results": []}


def test_rendered_records_are_cached_until_changed():
    world, behaviour = World.seeded(5), Behaviour()
    query = parse_query({"ordering": "task_id"}, behaviour)

    def show():
        return render_page(query, world.index, behaviour, 1000)

    first, task = show(), world.tasks[min(world.tasks)]
    rendered = task.rendered
    assert show() == first
    assert task.rendered is rendered
    world.set_status(task.task_id, "RETRY")
    assert b'"RETRY"' in show()
    behaviour.extra_fields["colour"] = "blue"
    assert show().count(b'"colour":"blue"') == 5


def test_raw_records_can_be_added_replaced_and_removed():
    world, behaviour = World.seeded(3), Behaviour()
    query = parse_query({"ordering": "task_id"}, behaviour)
    before = render_page(query, world.index, behaviour, 1000)
    world.add_raw("00000000", b'{"task_id": 7, ')
    page = render_page(query, world.index, behaviour, 1000)
    assert b'"results":[{"task_id": 7, ,{"task_id"' in page
    world.delete("00000000")
    victim = min(world.tasks)
    world.replace_raw(victim, b'{"status":"PAUSED"}')
    assert listed(world, behaviour, {"status": "PAUSED"}) == [victim]
    world.replace_raw(victim, None)
    assert render_page(query, world.index, behaviour, 1000) == before
