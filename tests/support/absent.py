"""What a test needs and a machine lacks: at a desk the test is skipped, in CI that is a failure."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    """End the test that cannot run here."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require(program: str, *, path: str | None = None) -> None:
    """End the test if there is no such program on the path."""
    if shutil.which(program, path=path) is None:
        give_up(f"there is no {program} here")
