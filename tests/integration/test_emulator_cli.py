"""`gcore-etl emulator` as a process: its output, what it serves, and how it ends."""

import contextlib
import functools
import shlex
import signal
import socket
import subprocess
import sys
from typing import get_args, get_type_hints

import httpx
import pytest
from click.testing import CliRunner

from etl.cli.emulator import SWITCHES, emulator
from etl.emulator import Behaviour

COMMAND = (sys.executable, "-m", "etl", "emulator")

# There is no TLS here, and loading the certificates for it takes longer than most of these tests.
fetch = functools.partial(httpx.get, verify=False)


@contextlib.contextmanager
def running(*options):
    """Run the command; yield the process and the two variables that it prints."""
    arguments = [*COMMAND, "--port", "0", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            introduction, export = process.stderr.readline(), process.stderr.readline()
            assert export.startswith("  export "), introduction
            yield process, dict(word.split("=", 1) for word in shlex.split(export)[1:])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_serves_the_world_and_ends_silently_on_signal(number):
    options = (
        "--tasks",
        "25",
        "--page-cap",
        "5",
        "--shape",
        "older",
        "--latency",
        "10ms",
        "--past-end",
        "404",
    )
    with running(*options) as (process, variables):
        url = f"{variables['GCORE_BASE_URL']}/streaming/ai/tasks"
        headers = {"Authorization": f"APIKey {variables['GCORE_API_KEY']}"}
        answer = fetch(url, params={"limit": 50}, headers=headers)
        assert answer.json()["count"] == 25
        assert len(answer.json()["results"]) == 5
        assert "processing_time" not in answer.json()["results"][0]
        assert answer.elapsed.total_seconds() >= 0.01
        assert fetch(url, params={"page": 9}, headers=headers).status_code == 404
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


def test_the_clock_runs_and_another_key_is_refused():
    with running("--speed", "20000", "--arrivals-per-hour", "50", "--tasks", "0", "--api-key", "a$b") as (
        _,
        said,
    ):
        assert said["GCORE_API_KEY"] == "a$b"
        count = 0
        while not count:
            stats = fetch(f"{said['GCORE_BASE_URL']}/_emulator/stats").json()
            count = stats["tasks"]
        refused = fetch(f"{said['GCORE_BASE_URL']}/streaming/ai/tasks", headers={"Authorization": "APIKey a"})
        assert refused.status_code == 401


def test_a_port_in_use_is_a_one_line_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert f"127.0.0.1, port {port}" in ended.stderr


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "httptools", "sortedcontainers"])
def test_missing_extra_error_says_what_to_install(package):
    program = f"import sys; sys.modules[{package!r}] = None; from etl.cli import cli; cli(['emulator'])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "pip install 'gcore-ai-tasks-etl[demo]'" in ended.stderr


def test_importing_the_command_does_not_load_the_server():
    program = (
        "import sys, etl.cli.emulator; print({'starlette', 'uvicorn', 'etl.emulator'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


@pytest.mark.parametrize("text", ["3", "soon", "-1s", "ms", "1sm"])
def test_an_invalid_latency_is_a_usage_error(text):
    ended = CliRunner().invoke(emulator, ["--latency", text])
    assert ended.exit_code == 2
    assert "100ms" in ended.output


def test_every_option_is_a_behaviour_setting():
    hints = get_type_hints(Behaviour)
    for option, (field, choices, _) in SWITCHES.items():
        assert set(choices) == set(get_args(hints[field])), option
        assert choices[0] == getattr(Behaviour(), field), option
