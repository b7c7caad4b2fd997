"""Each promise relies on mechanisms; if one is disabled, the tests of its promise must fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.mechanisms import MECHANISMS, VARIABLE, owner_of

ROOT = Path(__file__).parents[2]
SOMETHING_FAILED = 1
# Python runs a module of this name when it starts, so the commands that a test starts lack the mechanism too.
AT_START = "from support.mechanisms import switch_off_as_told\n\nswitch_off_as_told()\n"
# One test each, on SQLite and without another process; the others are slow.
QUICK = {
    "P3 only a fuller result replaces a stored one",
    "P9 a record without an id is rejected",
    "P12 the watermark is the server's",
}


def test_every_promise_has_a_mechanism():
    """docs/promises.md and the table of mechanisms list the same promises."""
    headings = re.findall(r"^## (P\d.*)", (ROOT / "docs/promises.md").read_text("utf-8"), re.MULTILINE)
    promised = [number for heading in headings for number in re.findall(r"P\d+", heading)]
    assert set(promised) == {mechanism.promise for mechanism in MECHANISMS}


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda each: re.sub(r"\W+", "-", each.title))
def test_mechanisms_have_public_seams_and_existing_tests(mechanism):
    for seam in mechanism.seams:
        assert not re.search(r"[.:]_", seam)
        owner, name = owner_of(seam)
        assert hasattr(owner, name)
    for test in mechanism.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / "tests" / file).read_text("utf-8")


@pytest.mark.parametrize(
    "mechanism",
    [
        pytest.param(
            each,
            id=re.sub(r"\W+", "-", each.title),
            marks=[] if each.title in QUICK else [pytest.mark.slow],
        )
        for each in MECHANISMS
    ],
)
def test_tests_fail_if_mechanism_is_disabled(tmp_path, mechanism):
    (tmp_path / "sitecustomize.py").write_text(AT_START, "utf-8")
    ended = subprocess.run(
        [
            *[sys.executable, "-P", "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider"],
            *["-m", "not slow", *(f"tests/{test}" for test in mechanism.tests)],
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "tests"))),
            VARIABLE: mechanism.title,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == SOMETHING_FAILED, ended.stdout[-2000:] + ended.stderr[-2000:]
    failed = re.search(r"^FAILED (\S+)", ended.stdout, re.MULTILINE)
    print(f"{mechanism.title}: off, {failed and failed[1]} fails")  # noqa: T201 - a line of `make test-slow`
