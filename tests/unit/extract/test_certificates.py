"""Trusted certificates: the defaults, and the environment variables shared with other tools."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import certifi
import pytest
import trustme

from etl.errors import ConfigurationError
from etl.extract.certificates import DEFAULT, VARIABLES, load_trust

if TYPE_CHECKING:
    from pathlib import Path


def names(trust) -> set[str]:
    """Return the subjects of the trusted certificates that are already loaded."""
    return {str(dict(pair[0] for pair in each["subject"])) for each in trust.context.get_ca_certs()}


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    trustme.CA(organization_name="Company").cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("is_folder", [False, True])
def test_certificates_from_variable_replace_defaults(variable, is_folder, pem):
    trust = load_trust({variable: str(pem.parent if is_folder else pem)})
    assert len(names(trust)) == 1
    assert "Company" in names(trust).pop()
    assert trust.source == f"the certificates of {variable} ({pem.parent if is_folder else pem})"


def test_system_and_certifi_are_trusted_by_default(monkeypatch):
    known = len(load_trust({"SSL_CERT_FILE": certifi.where()}).context.get_ca_certs())
    trust = load_trust({"SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": ""})
    assert trust.source == DEFAULT
    assert len(trust.context.get_ca_certs()) >= known > 50
    # OpenSSL's own defaults follow these two variables, which shows that they are loaded as well.
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    assert len(load_trust({}).context.get_ca_certs()) == known


def test_system_store_is_loaded_in_addition_to_certifi(monkeypatch, pem):
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert any("Company" in name for name in names(load_trust({})))


def test_certificates_of_all_variables_are_trusted(pem):
    """As in an environment that sets one of them by itself."""
    trust = load_trust({"SSL_CERT_FILE": certifi.where(), "REQUESTS_CA_BUNDLE": str(pem)})
    assert any("Company" in name for name in names(trust))
    assert len(names(trust)) > 50
    assert "SSL_CERT_FILE" in trust.source
    assert "REQUESTS_CA_BUNDLE" in trust.source


def test_some_of_several_folders_may_be_missing(pem):
    trust = load_trust({"SSL_CERT_DIR": os.pathsep.join(["/nowhere", str(pem.parent), ""])})
    assert len(names(trust)) == 1


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("content", [None, b"", b"canary", b"-----BEGIN CERTIFICATE-----\ncanary"])
@pytest.mark.parametrize("is_folder", [False, True])
def test_unreadable_certificates_error_names_the_variable(variable, content, is_folder, tmp_path):
    folder = tmp_path / "canary"
    folder.mkdir()
    if content is not None:
        (folder / "ca.pem").write_bytes(content)
    path = folder if is_folder else folder / "ca.pem"
    with pytest.raises(ConfigurationError, match=f"^{variable} names a file or folder that") as caught:
        load_trust({variable: str(path)})
    assert "canary" not in str(caught.value)


def test_overlong_path_is_rejected():
    with pytest.raises(ConfigurationError, match=r"^SSL_CERT_FILE names a file or folder that"):
        load_trust({"SSL_CERT_FILE": "a" * 5000})
