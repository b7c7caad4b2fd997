"""The benchmarks that no other test runs still work: they name functions of the product."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_every_stage_of_a_first_load_is_measured(kind):
    command = [sys.executable, "-m", "benchmarks", "stages", "--tasks", "20000", "--kind", kind]
    finished = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    stages = re.findall(r"^ *(\d+\.\d\d) s  (.+)$", finished.stdout, re.MULTILINE)
    assert len(stages) == 10
    seconds = {label: float(text) for text, label in stages}
    assert seconds["building, encoding and writing rows"] > seconds["... of which encoding"] > 0
    assert seconds["... of which building"] > 0
    assert seconds["reading JSON, with payload hashes"] > 0
