"""Fixtures shared by the network tests: a CA, an emulator, and an environment without network variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.networks import Authority
from support.worlds import a_world

from etl.emulator import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator

NETWORK_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serve(a_world(30)) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def no_network_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all proxy and certificate variables from the environment."""
    for name in NETWORK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
