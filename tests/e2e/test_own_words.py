"""P10: our own words stay whole, whatever a password or the key is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.conditions import CONDITIONS, meet
from support.grids import one_in
from support.secrets import KEY
from support.worlds import a_world

from etl.emulator import Behaviour, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(12), Behaviour(page_cap=10), api_key=KEY) as emulator:
        yield emulator


# Passwords that people have, and words of the very messages in which they must not show.
WORDS = (
    "postgres", "gcore", "etl", "e", "a", ":", "sync", "database", "install", "gcore-ai-tasks-etl",
    "pip install", "GCORE_API_KEY", "gcore-etl db upgrade", "user:password@host", "sqlite:///gcore_tasks.db",
)  # fmt: skip

# What the others say depends on how fast the machine is, or the password is in the address itself.
SAID_ALIKE = [name for name in CONDITIONS if name not in {"Postgres down", "no API there", "unreachable"}]


@one_in(22, "word, condition", WORDS, SAID_ALIKE)
def test_password_that_is_a_word_does_not_mask_own_messages(sqlite_command, emulator, word, condition):
    environment = meet(sqlite_command, emulator, condition)
    for words in ("sync", "doctor"):
        plain = sqlite_command(words, **environment)
        ended = sqlite_command(words, **environment, PGPASSWORD=word)
        assert without_numbers(ended.err) == without_numbers(plain.err)
        assert without_numbers(ended.out) == without_numbers(plain.out)


@one_in(
    3,
    "word, condition",
    ["gcore", "etl", "e", "GCORE_API_KEY", "check", "sync"],
    ["no database", "newer schema", "memory", "no base URL"],
)
def test_key_that_is_a_word_does_not_mask_own_messages(sqlite_command, emulator, word, condition):
    environment = meet(sqlite_command, emulator, condition)
    plain = sqlite_command("sync", **environment)
    emulator.api_key = word
    ended = sqlite_command("sync", **environment, GCORE_API_KEY=word)
    assert without_numbers(ended.err) == without_numbers(plain.err)


def without_numbers(text: str) -> str:
    """Leave out times, ports and seconds, which differ from run to run."""
    return re.sub(r"[\d.]+", "0", text)


@one_in(6, "word, words", ["postgres", "gcore", "etl", "e", "install"], ["sync", "status", "doctor"])
def test_missing_extra_hint_is_not_masked(sqlite_command, tmp_path, word, words):
    """Without psycopg, as after `pip install .`; the official image's password is `postgres`."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['psycopg'] = None\n")
    done = subprocess.run(
        [sys.executable, "-m", "etl", *words.split(), "-d", f"postgresql://postgres:{word}@localhost/x"],
        env={**os.environ, **sqlite_command.environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "Postgres needs the psycopg package: pip install 'gcore-ai-tasks-etl[postgres]'" in (
        done.stdout if words == "doctor" else done.stderr
    )
