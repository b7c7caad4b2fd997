"""
Which certificates are trusted: those that the environment names, else the system's and certifi's.

The variables are those that users of Python tools know. Whatever any of them names is trusted, in place of
the defaults: some environments set one of them by themselves, and the company's CA is then in another.
The system's store is the one that OpenSSL finds; on macOS that is not the keychain.
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
# How OpenSSL finds a certificate in a folder; without such names it finds none.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
_CERTIFICATE_FILES = frozenset({".pem", ".crt", ".cer"})


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """A context for TLS, and where its certificates come from, in words."""

    context: ssl.SSLContext
    source: str


def load_trust(environment: Mapping[str, str]) -> Trust:
    """
    Load what is trusted.

    Raises ConfigurationError, with the variable and without its value, for certificates that cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A company's intermediate CA is enough, as for curl.
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
        # Of several folders, some may be missing, as for OpenSSL.
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
    # A folder as Go reads it: files under any name.
    files = [folder / name for name in names if Path(name).suffix.lower() in _CERTIFICATE_FILES]
    if not files:
        raise ssl.SSLError("no certificates")
    for file in files:
        context.load_verify_locations(cafile=file)
