"""What `help()`, editors and type checkers show for the functions of `etl.frames`."""

from __future__ import annotations

import inspect
import pydoc

import pytest

from etl import frames
from etl.frames.frame import read_frame
from etl.frames.signature import FrameOptions
from etl.views.definitions import VIEWS

TABLES = ("tasks", "task_history", "results", "subtitles", "detections", "runs")


@pytest.mark.parametrize("name", [*TABLES, "view"])
def test_help_documents_every_argument(name):
    function = getattr(frames, name)
    shown = pydoc.plain(pydoc.render_doc(function))
    assert f"{name}(" in shown
    first = ["name"] if name == "view" else []
    assert list(inspect.signature(function).parameters) == [
        *first, "source", "since", "until", "columns", "chunksize", "dtype_backend",
    ]  # fmt: skip
    for start in ("source", "since, until", "columns", "chunksize", "dtype_backend", "Raises ValueError"):
        assert any(line.strip().startswith(start) for line in shown.splitlines())
    assert "`since` and `until` compare" in shown


def test_frame_options_match_read_frame_signature():
    _, source, *options = inspect.signature(read_frame).parameters.values()
    annotations = {each.name: each.annotation for each in options}
    # chunksize is not among the options, because it decides which type is returned.
    assert (source.name, annotations.pop("chunksize")) == ("source", "int | None")
    assert {name: each.__forward_arg__ for name, each in FrameOptions.__annotations__.items()} == annotations


def test_view_help_lists_views_and_their_time_columns():
    lines = frames.view.__doc__.splitlines()
    for name, view in VIEWS.items():
        time = view.time or ("the task's completed_at or changed_at" if view.has_task_time else "nothing")
        assert any(line.strip().startswith(f"{name} ({time}): One row") for line in lines), name


def test_unknown_argument_raises_type_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'field_names'"):
        frames.tasks(field_names=["status"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'field_names'"):
        frames.view("task_daily", field_names=["day"])
