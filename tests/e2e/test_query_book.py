"""docs/queries.md: every query runs on both databases, and the page shows its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.book import PAGE, chapter, make_demo, page
from support.stored import store_task

from etl import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTIONS = queries.saved_queries()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def demo_url(request) -> Iterator[str]:
    with request.getfixturevalue(f"{request.param}_databases").empty() as url:
        make_demo(url)
        yield url


@pytest.mark.parametrize("question", QUESTIONS, ids=queries.NAMES)
def test_page_shows_each_query_with_its_result(demo_url, question):
    number = QUESTIONS.index(question) + 1
    expected = chapter(number, question, demo_url)
    assert expected.count("\n| ") > 2, "the query returns no rows on the demo data"
    assert expected in PAGE.read_text(encoding="utf-8"), "run make docs to regenerate the page"


def test_outliers_include_tasks_of_unknown_type(engine):
    with engine.begin() as connection:
        for number in range(50):
            store_task(connection, f"{number}", total_time_sec=1)
        store_task(connection, "long", total_time_sec=100)
        (question,) = [question for question in QUESTIONS if question.name == "outliers"]
        rows = connection.exec_driver_sql(question.sql[connection.dialect.name]).all()
    assert [row[0] for row in rows] == ["long"]


def test_page_is_up_to_date(demo_url):
    assert PAGE.read_text(encoding="utf-8") == page(demo_url)


def test_there_are_20_queries_with_one_file_each():
    files = {path.stem for path in Path(queries.__file__).parent.glob("*.sql")}
    assert len(QUESTIONS) == 20
    assert files == set(queries.NAMES)
    assert len({question.title for question in QUESTIONS}) == 20
