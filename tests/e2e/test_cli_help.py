"""Help texts, version, usage errors, completion, and which packages they import."""

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
from support.commands import all_commands, error_of

import etl
from etl.cli import cli

README = (Path(__file__).parents[2] / "README.md").read_text()
HEAVY = ("pandas", "numpy", "sqlalchemy", "alembic", "httpx", "httpcore", "psycopg", "rich", "starlette")
MAX_OPTION_HELP = 90
# Words that are clear signs of unidiomatic help.
UNUSUAL_WORDS = (
    "believe", "anew", "gone", "mend", "mended", "under way", "set aside", "whoever", "looked at", "doubt",
    "vanished", "of theirs", "for ever",
)  # fmt: skip
# The command is on the path, as in a user's shell.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("words", all_commands())
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_a_help_text(nursery, words, option):
    ended = nursery.run({}, *words.split(), option)
    assert (ended.code, ended.err) == (0, "")
    usage, _, sentence = ended.out.splitlines()[:3]
    assert usage.startswith(f"Usage: {' '.join(['gcore-etl', *words.split()])} ")
    assert re.match(r"  [A-Z].+", sentence)


@pytest.mark.parametrize("words", all_commands())
def test_every_option_has_well_formed_help_text(words):
    for option in all_commands()[words].params:
        if isinstance(option, click.Option) and not option.hidden:
            text, _, facts = (option.help or "").partition("  [")
            assert re.fullmatch(r"[A-Z-].*\.", text), (option.name, text)
            assert len(text) <= MAX_OPTION_HELP, (option.name, text)
            assert not facts or facts.endswith("]"), (option.name, facts)


@pytest.mark.parametrize("words", all_commands())
def test_short_help_of_every_command_fits_on_one_line(words):
    name = words.rpartition(" ")[2]
    if name:
        text = all_commands()[words].short_help or ""
        assert re.fullmatch(r"[A-Z].*\.", text), text
        assert len(f"  {'completion':10}  {text}") <= 80, text


def test_command_list_has_one_line_per_command(nursery):
    shown = nursery.run({"COLUMNS": "80"}, "--help").out
    listed = shown.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    context = click.Context(cli)
    assert [line.split()[0] for line in listed] == cli.list_commands(context)
    assert [line.split(maxsplit=1)[1] for line in listed] == list(cli.short_helps.values())


@pytest.mark.parametrize("words", all_commands())
def test_help_is_plain_and_fits_80_columns(nursery, words):
    shown = nursery.run({"COLUMNS": "80"}, *words.split(), "--help").out
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert re.findall(rf"\b({'|'.join(UNUSUAL_WORDS)})\b", shown, re.IGNORECASE) == []


TYPES = {
    "sync": {
        "page_size": "INTEGER RANGE",
        "concurrency": "INTEGER RANGE",
        "max_rate": "FLOAT RANGE",
        "retry_for": "DURATION",
        "lookback": "DURATION",
        "audit_every": "DURATION",
        "date_filter": "[auto|gte|lte|day|exact|ignored|rejected]",
        "task_name": "[transcription|content-moderation]",
        "since": "DATE",
        "database_url": "URL",
    },
    "watch": {"every": "DURATION"},
    "runs": {"limit": "INTEGER RANGE"},
    "report": {"output": "FILE", "since": "DATE"},
    "emulator": {"latency": "DURATION", "days": "FLOAT RANGE", "host": "ADDRESS"},
    "db upgrade": {"revision": "[REVISION]"},
}


@pytest.mark.parametrize("words", TYPES)
def test_help_shows_option_types(words):
    command = all_commands()[words]
    context = click.Context(command)
    shown = {each.name: each.make_metavar(context) for each in command.params}
    assert {name: shown[name] for name in TYPES[words]} == TYPES[words]


def test_help_shows_variable_default_and_bounds_of_settings(nursery):
    shown = " ".join(nursery.run({}, "sync", "--help").out.split())
    assert "[env: GCORE_ETL_CONCURRENCY; default: 4; 1<=x<=100]" in shown
    assert "[env: GCORE_ETL_RETRY_FOR; default: 1m]" in shown
    assert "[env: GCORE_ETL_MAX_RATE; x>=0.001]" in shown


def test_unknown_task_type_is_accepted(sqlite_command):
    assert sqlite_command("sync", "--task-name", "dubbing").code == 0


def test_readme_lists_every_command_and_setting():
    rows = [line for line in README.splitlines() if line.startswith("| `gcore-etl ")]
    for words in all_commands():
        name, _, sub = words.partition(" ")
        assert any(line.startswith(f"| `gcore-etl {name}") and f"{sub}" in line for line in rows), words
    from etl.settings import setting_specs  # noqa: PLC0415

    assert [spec for spec in setting_specs().values() if f"| `{spec.variable}` |" not in README] == []


def loaded_by(*calls: list[str], names: tuple[str, ...] = HEAVY, **environment: str) -> list[str]:
    """Return which of these packages are loaded after all calls have run in one process."""
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


def test_help_and_version_import_no_heavy_packages():
    calls = [[*words.split(), "--help"] for words in all_commands()]
    assert loaded_by(["--version"], ["completion", "bash"], *calls) == []


def test_heavy_imports_are_detected(tmp_path):
    assert "sqlalchemy" in loaded_by(["status", "-d", f"sqlite:///{tmp_path}/none.db"])


def test_sync_imports_only_the_required_sqlalchemy_dialect(command):
    command("sync")
    names = ("sqlalchemy", "sqlalchemy.dialects.postgresql")
    is_sqlite = command.database_url.startswith("sqlite")
    expected = ["sqlalchemy"] if is_sqlite else ["sqlalchemy", "sqlalchemy.dialects.postgresql"]
    assert loaded_by(["sync"], names=names, **command.environment) == expected


@pytest.mark.parametrize("call", [["gcore-etl"], [sys.executable, "-m", "etl"]])
def test_command_runs_as_script_and_as_module(call):
    environment = {**os.environ, "PATH": PATH}
    done = subprocess.run([*call, "--version"], check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gcore-etl {etl.__version__}\n", "")


@pytest.mark.parametrize("words", ["", "db"])
def test_missing_command_prints_command_list(nursery, words):
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
    "sync --full --since 2026-01-01": "--full reads all tasks",
    "sync --full --status FAILURE": "--full reads all tasks",
    "sync --task-id NOTHING": "1 to 1,000 characters",
    "sync --search ENDLESS": "1 to 1,000 characters",
    "sync --search BROKEN": "not valid UTF-8",
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
def test_usage_error_exits_2_and_points_to_help(sqlite_command, tmp_path, words):
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
def test_all_invalid_variables_are_reported_together(sqlite_command, tmp_path, words):
    line = error_of(sqlite_command(*words.split(), **BAD_ENVIRONMENT), 3)
    assert [name for name in BAD_ENVIRONMENT if f"{name}: " not in line] == []
    assert "canary" not in line
    assert list(tmp_path.iterdir()) == []


def test_option_overrides_invalid_variable(sqlite_command):
    mistake = {"GCORE_ETL_PAGE_SIZE": "many"}
    assert "'many' is not a whole number" in error_of(sqlite_command("sync", **mistake), 3)
    assert sqlite_command("sync", "--page-size", "7", **mistake).code == 0


def completed(script: Path, *words: str) -> list[str]:
    """Return the completions that bash offers for the last of these words, with the script loaded."""
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
    assert completed(script, "gcore-etl", "sync", "--date-filter", "e") == ["exact"]
    assert completed(script, "gcore-etl", "sync", "--task-name", "t") == ["transcription"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_valid_shell(nursery, tmp_path, shell):
    ended = nursery.run({}, "completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_GCORE_ETL_COMPLETE={shell}_complete" in ended.out
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(ended.out)
        subprocess.run([shell, "-n", script], check=True)
