"""README and docs: links, files, tests and commands that they name exist, and the code in them runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click
import pytest
import sqlalchemy as sa
from support.worlds import settings_for, sync_while_it_changes

from etl import models
from etl.cli import cli
from etl.database import reading
from etl.emulator import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
RECORDS = sorted(DECISIONS.glob("0*.md"))
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
TESTS = list(ROOT.glob("tests/**/*.py"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def code_spans(text: str) -> list[str]:
    without_blocks = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", without_blocks)


@pytest.mark.parametrize("path", [*PAGES, *DECISIONS.glob("*.md")], ids=lambda path: path.name)
def test_relative_links_point_to_existing_files(path):
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    targets = [unquote(link.partition("#")[0]) for link in links if "://" not in link]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("name", TEXTS)
def test_files_named_in_docs_exist(name):
    """Decision records are exempt: they describe the code of their date."""
    folders = ("etl/", "tests/", "migrations/", "docs/", "notebooks/", "requirements/")
    spans = [span for span in code_spans(TEXTS[name]) if re.fullmatch(r"[\w./-]+", span)]
    paths = [span for span in spans if span.startswith(folders)]
    modules = [span for span in spans if re.fullmatch(r"test_\w+\.py", span)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert set(modules) <= {path.name for path in TESTS}


def test_tests_named_in_docs_exist():
    named = {span for text in TEXTS.values() for span in code_spans(text) if re.fullmatch(r"test_\w+", span)}
    assert named
    source = "\n".join(path.read_text(encoding="utf-8") for path in TESTS)
    assert {name for name in named if f"def {name}(" not in source} == set()


def test_decision_index_matches_records():
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \| (.+) \| (\S+) \|$", index, re.MULTILINE)
    expected = []
    for path in RECORDS:
        title, _, status, *_ = path.read_text(encoding="utf-8").splitlines()
        number, sentence = re.fullmatch(r"# (\d+)\. (.+)", title).groups()
        (accepted,) = re.findall(r"^Accepted, (\d{4}-\d\d-\d\d)\.", status)
        assert path.name.startswith(f"{int(number):04}-")
        expected.append((number, sentence, path.name, accepted, "Superseded" in status))
    assert [(*row[:3], row[4], row[3].startswith("superseded")) for row in rows] == expected
    assert {row[3] for row in rows if not row[3].startswith("superseded")} == {"accepted"}


def test_superseding_decisions_link_back():
    for path in RECORDS:
        for successor in re.findall(
            r"^Accepted, .*Superseded.*\]\((.+?)\)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert f"]({path.name})" in (DECISIONS / successor).read_text(encoding="utf-8")


def test_documented_payload_path_has_at_most_12_files():
    chapter = TEXTS["docs/architecture.md"].partition("\n## From an HTTP response")[2].partition("\n## ")[0]
    files = re.findall(r"^\d+\. `(etl/\S+\.py)`", chapter, re.MULTILINE)
    assert 6 <= len(files) <= 12
    assert len(set(files)) == len(files)


def documented_calls() -> Iterator[str]:
    """Yield every call of the command in a code block or code span, without placeholders."""
    for text in TEXTS.values():
        lines = [line.strip() for block in blocks(text, "console") for line in block.splitlines()]
        for line in [*lines, *code_spans(text)]:
            if re.match(r"gcore-etl [a-z-]", line):
                yield line


@pytest.mark.parametrize("call", sorted(set(documented_calls())))
def test_documented_commands_and_options_exist(call):
    _, *words = shlex.split(call.partition(" | ")[0], comments=True)
    context = click.Context(cli, info_name="gcore-etl")
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command, context = found, click.Context(found, context)
    # Raises NoSuchOption; values are not converted.
    command.make_parser(context).parse_args(words)


@pytest.mark.parametrize("statement", blocks(TEXTS["README.md"], "sql"))
def test_readme_sql_runs(migrated_url, statement):
    with reading(migrated_url) as connection:
        for line in filter(None, statement.splitlines()):
            connection.execute(sa.text(line.partition(" --")[0].rstrip("; "))).all()


def test_documented_model_classes_exist():
    chapter = TEXTS["docs/python.md"].partition("\n## Models")[2].partition("\n## ")[0]
    named = {span for span in code_spans(chapter) if re.fullmatch(r"[A-Z]\w+[a-z]", span)}
    assert "Task" in named
    assert {name for name in named - {"Session", "StrEnum", "None"} if not hasattr(models, name)} == set()


PYTHON = [
    pytest.param(block, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, block in enumerate(blocks(text, "python"), 1)
]


@pytest.mark.parametrize("block", PYTHON)
def test_documented_python_runs(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///gcore_tasks.db"
    world = sync_while_it_changes(url)
    with serve(world) as emulator:
        settings = settings_for(emulator, url)
        monkeypatch.setenv("GCORE_API_KEY", settings.require_api_key().reveal())
        monkeypatch.setenv("GCORE_BASE_URL", settings.base_url)
        exec(compile(block, "docs", "exec"), {})
    assert ("print(" in block) == bool(capsys.readouterr().out)
