"""What the tests of frames share: their names, and one way to read each."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl import frames, views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


FUNCTIONS = ("tasks", "task_history", "results", "subtitles", "detections", "runs")

ALL = [*FUNCTIONS, *views.NAMES]


def read(name: str, *arguments: Any, **options: Any) -> Any:
    """Call the function of this name, or `view` with it."""
    function = getattr(frames, name, functools.partial(frames.view, name))
    return function(*arguments, **options)


@contextlib.contextmanager
def listening(engine: sa.Engine | type[sa.Engine], event: str, note: Callable[[str], None]) -> Iterator[None]:
    """Call `note` with each statement that an engine, or any engine, executes."""

    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        note(" ".join(statement.split()))

    sa.event.listen(engine, event, listen)
    yield
    sa.event.remove(engine, event, listen)
