"""The built wheel, installed in a new environment outside the checkout, contains all necessary files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.worlds import a_world, stored_states, true_states

from etl.emulator import serve

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Build the wheel, install it with pinned dependencies, and return a function that runs its command."""
    folder = tmp_path_factory.mktemp("wheel")

    def uv(*arguments: str | Path) -> None:
        subprocess.run([UV, *arguments], check=True, capture_output=True, text=True)

    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    pins = ROOT / "requirements" / "dev.txt"
    # The pins include hashes, which the new wheel does not have; constraints need only the versions.
    versions = folder / "versions.txt"
    versions.write_text(
        "\n".join(line.split(" \\")[0] for line in pins.read_text().splitlines() if "==" in line)
    )
    uv("pip", "install", "--quiet", "--python", python, "--constraint", versions, f"{wheel}[postgres]")

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [python.with_name("gcore-etl"), *arguments],
            cwd=folder,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_installed_wheel_creates_schema_and_syncs(command, database_url):
    with serve(a_world()) as emulator:
        settings = {
            "GCORE_API_KEY": emulator.api_key,
            "GCORE_BASE_URL": emulator.base_url,
            "GCORE_ETL_DATABASE_URL": database_url,
        }
        upgraded = command("db", "upgrade", **settings)
        assert (upgraded.returncode, upgraded.stderr) == (0, "")
        checked = command("db", "check", **settings)
        assert (checked.returncode, checked.stderr) == (0, "")
        synced = command("sync", **settings)
        assert (synced.returncode, synced.stderr) == (0, "")
        assert stored_states(database_url) == true_states(emulator.world)


def test_emulator_names_missing_demo_extra(command):
    refused = command("emulator")
    assert refused.returncode == 3
    assert "gcore-ai-tasks-etl[demo]" in refused.stderr
