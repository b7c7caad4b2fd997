"""The pinned requirements are complete, hashed, and the versions that the tests run with."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SETS = {"prod": ("postgres", "export"), "demo": ("demo",), "dev": ("all",), "uv": None}


def pins(name: str) -> dict[str, set[str]]:
    """Return the pinned versions by package; some packages have several, depending on the Python version."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==(\S+)", line):
            found.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return found


def required(extras: tuple[str, ...]) -> set[str]:
    """Return the packages that the project and these extras require, including transitive requirements."""
    listed = [
        *PROJECT["dependencies"],
        *(each for name in extras for each in PROJECT["optional-dependencies"][name]),
    ]
    waiting, found = [Requirement(each) for each in listed], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == PROJECT["name"]:
            names = PROJECT["optional-dependencies"]
            waiting += [Requirement(each) for extra in requirement.extras for each in names[extra]]
        if name in found or name == PROJECT["name"]:
            continue
        found.add(name)
        try:
            further = map(Requirement, distribution(name).requires or [])
        except PackageNotFoundError:  # for another platform
            continue
        for each in further:
            marker, known = each.marker, [{"extra": extra} for extra in ("", *requirement.extras)]
            if marker is None or any(map(marker.evaluate, known)):
                waiting.append(each)
    return found


@pytest.mark.parametrize("name, extras", [pair for pair in SETS.items() if pair[1]])
def test_each_file_pins_all_requirements(name, extras):
    assert required(extras) - pins(name).keys() == set()


def test_prod_pins_only_required_packages():
    assert pins("prod").keys() - required(SETS["prod"]) <= {"tzdata", "colorama"}, (
        "only packages for other platforms"
    )


@pytest.mark.parametrize("name", ["prod", "demo"])
def test_prod_and_demo_pin_same_versions_as_dev(name):
    dev = pins("dev")
    assert {
        package: versions for package, versions in pins(name).items() if dev.get(package) != versions
    } == {}


@pytest.mark.parametrize("name", SETS)
def test_every_pin_has_a_hash_and_no_file_names_an_index(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    logical = text.replace("\\\n", " ").splitlines()
    assert [line for line in logical if "==" in line and "--hash=sha256:" not in line] == []
    assert [line for line in logical if re.search(r"://|--(extra-)?index-url|--find-links", line)] == []


def test_make_lock_generates_every_file():
    makefile = (ROOT / "Makefile").read_text()
    made = set(re.findall(r"-o requirements/(\w+)\.txt", makefile))
    assert made == {path.stem for path in (ROOT / "requirements").glob("*.txt")} == SETS.keys()
