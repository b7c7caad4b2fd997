"""
The trusted certificates: those that the environment names, otherwise the system's and certifi's.

The variables are those that users of Python tools know. The certificates of all that are set are trusted,
instead of the defaults: some environments set one of them, and the company's CA may be in another. The
system's certificates are those that OpenSSL finds; on macOS that is not the keychain.
"""

from __future__ import annotations

import dataclasses
import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import certifi

from etl.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
DEFAULT = "the certificates of the system and of certifi"
# The file names under which OpenSSL finds certificates in a folder.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
_CERTIFICATE_FILES = frozenset({".pem", ".crt", ".cer"})


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """A TLS context, and a description of where its certificates come from."""

    context: ssl.SSLContext
    source: str


def load_trust(environment: Mapping[str, str]) -> Trust:
    """
    Load the trusted certificates.

    Raises ConfigurationError, which names the variable, if they cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Trust an intermediate CA without its root, as curl does.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    named = [name for name in VARIABLES if environment.get(name)]
    if not named:
        context.load_default_certs()
        context.load_verify_locations(certifi.where())
        return Trust(context, DEFAULT)
    for name in named:
        paths = environment[name].split(os.pathsep) if name == "SSL_CERT_DIR" else [environment[name]]
        _load(context, name, [Path(path) for path in paths if path])
    shown = " and ".join(f"{name} ({environment[name]})" for name in named)
    return Trust(context, f"the certificates of {shown}")


def _load(context: ssl.SSLContext, variable: str, paths: list[Path]) -> None:
    try:
        # Some of several folders may be missing, as for OpenSSL.
        existing = [path for path in paths if path.exists()] or paths[:1]
        for path in existing:
            if path.is_dir():
                _load_folder(context, path)
            else:
                context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        reason = "holds no certificates in PEM format"
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    else:
        return
    raise ConfigurationError(
        f"{variable} names a file or folder that {reason}: correct it, or unset {variable}"
    )


def _load_folder(context: ssl.SSLContext, folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    if any(map(_HASHED.fullmatch, names)):
        context.load_verify_locations(capath=folder)
        return
    # As Go does, accept files with any name.
    files = [folder / name for name in names if Path(name).suffix.lower() in _CERTIFICATE_FILES]
    if not files:
        raise ssl.SSLError("no certificates")
    for file in files:
        context.load_verify_locations(cafile=file)
