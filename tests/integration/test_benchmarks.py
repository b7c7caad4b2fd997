"""The benchmarks that no other test runs still work: they name functions of the product."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    finished = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_every_stage_of_a_first_load_is_measured(kind):
    printed = run("stages", "--tasks", "20000", "--kind", kind)
    stages = re.findall(r"^ *(\d+\.\d\d) s  (.+)$", printed, re.MULTILINE)
    assert len(stages) == 10
    seconds = {label: float(text) for text, label in stages}
    assert seconds["building, encoding and writing rows"] > seconds["... of which encoding"] > 0
    assert seconds["... of which building"] > 0
    assert seconds["reading JSON, with payload hashes"] > 0


@pytest.mark.slow
def test_distance_and_rate_limits_are_measured():
    printed = run("far", "--tasks", "2000", "--seconds", "1")
    assert re.findall(r"^100 ms away, +(\d+) at once: 2,000 tasks", printed, re.MULTILINE) == ["4", "8", "32"]
    assert re.search(r"^100 ms away, 32 at once: \d+ results .* \d+% of", printed, re.MULTILINE)
    refused = re.findall(r"^a server that takes .* (\d+) refused", printed, re.MULTILINE)
    assert len(refused) == 6
    assert any(number != "0" for number in refused)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_command_that_reads_is_measured_on_a_large_copy(kind):
    printed = run("large", "--tasks", "300", "--runs", "600", "--kind", kind)
    measured = re.findall(r"^\| `(\w+)[^|]*\| \w+ \| (\d+\.\d\d) \|", printed, re.MULTILINE)
    assert {name for name, _ in measured} == {"status", "runs", "search", "db", "report", "export"}
    assert all(float(seconds) > 0 for _, seconds in measured)
    counted = re.search(
        r"tasks 300, task_history ([\d,]+), task_results (\d+), .* \| (\d+) \| [\d,]+ \|", printed
    )
    assert counted is not None
    events, results, megabytes = (int(text.replace(",", "")) for text in counted.groups())
    assert events > 300 > results > 200
    assert megabytes > 0
