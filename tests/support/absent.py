"""Missing requirements of a test: locally the test is skipped, in CI it fails."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require(program: str, *, path: str | None = None) -> None:
    """Skip the test, or fail it in CI, if the program is not on the path."""
    if shutil.which(program, path=path) is None:
        give_up(f"there is no {program} here")
