"""What the command says of itself: help, version, usage errors, completion; and how little it loads."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.absent import require
from support.commands import error_of

import etl
from etl.cli import cli

README = (Path(__file__).parents[2] / "README.md").read_text()
HEAVY = ("pandas", "numpy", "sqlalchemy", "alembic", "httpx", "httpcore", "psycopg", "rich", "starlette")
# Found on the PATH as a user's shell finds it.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def commands() -> dict[str, click.Command]:
    """Give every command by the words that call it."""
    context = click.Context(cli)
    found: dict[str, click.Command] = {"": cli}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found[name] = command
        subcommands = command.commands.items() if isinstance(command, click.Group) else ()
        found.update({f"{name} {each}": subcommand for each, subcommand in subcommands})
    return found


@pytest.mark.parametrize("words", commands())
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(nursery, words, option):
    ended = nursery.run({}, *words.split(), option)
    assert (ended.code, ended.err) == (0, "")
    usage, _, sentence = ended.out.splitlines()[:3]
    assert usage.startswith(f"Usage: {' '.join(['gcore-etl', *words.split()])} ")
    assert re.match(r"  [A-Z].+", sentence)


@pytest.mark.parametrize("words", commands())
def test_every_option_explains_itself(words):
    options = [each for each in commands()[words].params if isinstance(each, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_the_readme_names_every_command_and_every_setting():
    rows = [line for line in README.splitlines() if line.startswith("| `gcore-etl ")]
    for words in commands():
        name, _, sub = words.partition(" ")
        assert any(line.startswith(f"| `gcore-etl {name}") and f"{sub}" in line for line in rows), words
    from etl.settings import variables  # noqa: PLC0415

    assert [name for name in variables().values() if f"| `{name}` |" not in README] == []


def loaded_by(*calls: list[str], names: tuple[str, ...] = HEAVY, **environment: str) -> list[str]:
    """Give which of these packages are loaded once all calls have run, in one process."""
    program = (
        "import contextlib, io, json, sys\n"
        "from etl.__main__ import main\n"
        f"for call in {calls!r}:\n"
        "    sys.argv = ['gcore-etl', *call]\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        main()\n"
        f"print(json.dumps([name for name in {names!r} if name in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return json.loads(done.stdout)


def test_whoever_asks_for_help_or_the_version_waits_for_nothing_heavy():
    calls = [[*words.split(), "--help"] for words in commands()]
    assert loaded_by(["--version"], ["completion", "bash"], *calls) == []


def test_what_is_looked_for_would_be_seen_if_it_were_loaded(tmp_path):
    assert "sqlalchemy" in loaded_by(["status", "-d", f"sqlite:///{tmp_path}/none.db"])


def test_a_sync_loads_what_it_needs_of_sqlalchemy(command):
    command("sync")
    names = ("sqlalchemy", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql")
    is_sqlite = command.database_url.startswith("sqlite")
    expected = ["sqlalchemy"] if is_sqlite else ["sqlalchemy", "sqlalchemy.dialects.postgresql"]
    assert loaded_by(["sync"], names=names, **command.environment) == expected


@pytest.mark.parametrize("call", [["gcore-etl"], [sys.executable, "-m", "etl"]])
def test_it_is_installed_under_its_name_and_as_a_module(call):
    environment = {**os.environ, "PATH": PATH}
    done = subprocess.run([*call, "--version"], check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gcore-etl {etl.__version__}\n", "")


@pytest.mark.parametrize("words", ["", "db"])
def test_without_a_command_it_lists_the_commands(nursery, words):
    ended = nursery.run({}, *words.split())
    assert ended.code == 2
    assert "Commands:" in ended.err + ended.out


WRONG = {
    "nope": "nope",
    "--nope": "--nope",
    "sync --nope": "--nope",
    "sync extra": "extra",
    "sync --page-size 0": "between 1 and",
    "sync --page-size many": "'many' is not a whole number",
    "sync --concurrency 101": "between 1 and 100",
    "sync --max-rate 0": "0.001",
    "sync --max-rate fast": "'fast' is not a number",
    "sync --max-results -1": "between 1 and",
    "sync --retry-for 5": "write 90s, 5m, 1h or 2d",
    "sync --lookback -1h": "write 90s, 5m, 1h or 2d",
    "sync --audit-every soon": "write 90s, 5m, 1h or 2d",
    "sync --date-filter unknown": "auto or one of",
    "sync --since yesterday": "write 2026-06-30 or",
    "sync --since 0001-01-01T00:00+14:00": "write 2026-06-30 or",
    "sync --full --since 2026-01-01": "--full reads everything",
    "sync --full --status FAILURE": "--full reads everything",
    "sync --task-id NOTHING": "1 to 1,000 characters",
    "sync --search ENDLESS": "1 to 1,000 characters",
    "sync --search BROKEN": "not written in UTF-8",
    "sync -d": "-d",
    "watch --every 0s": "between zero and a hundred years",
    "watch --every 5": "write 90s, 5m, 1h or 2d",
    "runs --limit 0": "0",
    "runs --limit 99999999999999999999": "1000000",
    "db nope": "nope",
    "db downgrade": "REVISION",
    "emulator --latency long": "100ms",
    "completion tcsh": "bash",
}


STRANGE = {"NOTHING": "", "ENDLESS": "x" * 1001, "BROKEN": "\udcff"}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_ends_with_2_and_one_line_that_says_where_help_is(sqlite_command, tmp_path, words):
    first, *others = (STRANGE.get(word, word) for word in words.split())
    ended = sqlite_command(first, *(["--json"] if first == "sync" else []), *others)
    line = error_of(ended, 2)
    assert WRONG[words] in line
    assert re.search(r"\(see gcore-etl[a-z ]* --help\)$", line)
    assert (ended.out, list(tmp_path.iterdir())) == ("", [])


BAD_ENVIRONMENT = {
    "GCORE_API_KEY": "1234$canary canary",
    "GCORE_BASE_URL": "gcore",
    "GCORE_ETL_PAGE_SIZE": "many",
    "GCORE_ETL_CONCURRENCY": "0",
    "GCORE_ETL_MAX_RATE": "-1",
    "GCORE_ETL_LOOKBACK": "1",
    "GCORE_ETL_AUDIT_EVERY": "daily",
    "GCORE_ETL_MAX_RESULTS": "0",
    "GCORE_ETL_RETRY_FOR": "60",
    "GCORE_ETL_DATE_FILTER": "unknown",
}


@pytest.mark.parametrize("words", ["sync", "watch", "status", "runs", "doctor", "db upgrade", "db current"])
def test_all_mistakes_in_the_environment_are_told_at_once_and_end_with_3(sqlite_command, tmp_path, words):
    line = error_of(sqlite_command(*words.split(), **BAD_ENVIRONMENT), 3)
    assert [name for name in BAD_ENVIRONMENT if f"{name}: " not in line] == []
    assert "canary" not in line
    assert list(tmp_path.iterdir()) == []


def test_an_option_mends_a_mistake_in_the_environment(sqlite_command):
    mistake = {"GCORE_ETL_PAGE_SIZE": "many"}
    assert "'many' is not a whole number" in error_of(sqlite_command("sync", **mistake), 3)
    assert sqlite_command("sync", "--page-size", "7", **mistake).code == 0


def completed(script: Path, *words: str) -> list[str]:
    """Give what bash offers for the last of these words, after it has read the script."""
    program = (
        f"source {script}; complete -p gcore-etl >/dev/null || exit 9\n"
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; COMPREPLY=()\n"
        '_gcore_etl_completion gcore-etl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": PATH},
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices(nursery, tmp_path):
    require("bash")
    script = tmp_path / "completion.bash"
    script.write_text(nursery.run({}, "completion", "bash").out)
    assert completed(script, "gcore-etl", "s")[:1] == ["sync"]
    assert completed(script, "gcore-etl", "db", "up") == ["upgrade"]
    assert {"--database-url", "--date-filter"} <= set(completed(script, "gcore-etl", "sync", "--da"))
    assert completed(script, "gcore-etl", "completion", "z") == ["zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_can_read(nursery, tmp_path, shell):
    ended = nursery.run({}, "completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_GCORE_ETL_COMPLETE={shell}_complete" in ended.out
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(ended.out)
        subprocess.run([shell, "-n", script], check=True)
