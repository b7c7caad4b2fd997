"""
The proxy for a request, from the environment.

requests, httpx and the standard library interpret `NO_PROXY` in three ways, and one of them fails on an entry
that it cannot parse. The rules here are those of curl and Go, and mostly of requests: lower case takes
precedence over upper case, an empty variable counts as unset, a domain includes its subdomains, and entries
that cannot be parsed are skipped.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import ipaddress
import platform
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from etl.errors import ConfigurationError
from etl.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_SYSTEM = "the system's settings"
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_BRACKETED = re.compile(r"\[([^\]]+)\](/\d+)?(?::(\d+))?")
_WITH_PORT = re.compile(r"([^:]+):(\d+)")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that configures it; messages show the variable, never its value."""

    variable: str
    scheme: str
    host: str
    port: int
    user: str = dataclasses.field(default="", repr=False)
    password: Secret | None = None

    def __str__(self) -> str:
        return f"the proxy that {self.variable} {'name' if self.variable == _SYSTEM else 'names'}"

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def choose_proxy(
    url: str, environment: Mapping[str, str], system: Mapping[str, str] | None = None
) -> Proxy | None:
    """
    Return the proxy for this URL, or None for a direct connection.

    `system` holds the proxies configured in macOS or Windows, used if the environment configures none.
    Raises ConfigurationError if the proxy cannot be used; those for other URLs are not checked.
    """
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or PORTS[target.scheme.lower()]
    exempt = _find(environment, "no_proxy")
    if exempt and is_exempt(environment[exempt], target.scheme.lower(), host, port):
        return None
    for name in (f"{target.scheme.lower()}_proxy", "all_proxy"):
        if variable := _find(environment, name):
            return parse_proxy(variable, environment[variable].strip())
    if system is None:
        is_configured = any(name.lower() in _VARIABLES for name in environment)
        system = {} if is_configured else _system_proxies(host)
    value = system.get(target.scheme.lower()) or system.get("all")
    return parse_proxy(_SYSTEM, value) if value else None


def parse_proxy(variable: str, value: str) -> Proxy:
    """
    Parse `http://user:password@host:port`, of which all but the host may be missing.

    Raises ConfigurationError, whose message does not contain the value, if it is not a proxy URL.
    """
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host = (parts.hostname or "").encode("idna").decode("ascii")
        scheme = "socks5" if parts.scheme == "socks" else parts.scheme
        if host and scheme not in PORTS:
            raise ConfigurationError(
                f"{variable} names a kind of proxy that is not supported: use http, https, socks5 or socks5h"
            )
        port = PORTS[scheme] if parts.port is None else parts.port
        # An @ further on means that an unescaped / ? or # in a password ended the host early.
        is_whole = _HOST.fullmatch(host) and port > 0 and "@" not in parts.path + parts.query + parts.fragment
    except ValueError:  # unbalanced brackets, a port that is not a number, an invalid name
        is_whole = None
    if not is_whole:
        raise ConfigurationError(
            f"{variable} is not the address of a proxy, such as http://proxy.example:3128: correct it; "
            "special characters in a user or password must be percent-encoded"
        )
    password = None if parts.password is None else Secret(unquote(parts.password))
    return Proxy(variable, scheme, host, port, unquote(parts.username or ""), password)


def is_exempt(listed: str, scheme: str, host: str, port: int) -> bool:
    """
    Return whether a value of `NO_PROXY` exempts a host.

    Entries are separated by commas or spaces: `*`, a domain (with or without a dot or `*.` before it), an
    address, a network such as `10.0.0.0/8`; with or without a port, and with or without brackets around IPv6.
    """
    host = _plain(host)
    return any(_covers(entry, scheme, host, port) for entry in re.split(r"[\s,;]+", listed) if entry)


def _covers(entry: str, scheme: str, host: str, port: int) -> bool:
    wanted, is_url, rest = entry.lower().partition("://")
    if is_url:
        entry = rest.rstrip("/")
        if wanted not in {"all", scheme}:
            return False
    try:
        name, wanted_port = _split_port(entry.lower())
        if wanted_port is not None and wanted_port != port:
            return False
        return _names(name, host)
    except ValueError:
        return False


def _names(name: str, host: str) -> bool:
    address = _address(host)
    if network := _network(name):
        return address is not None and address in network
    if "*" in name:
        return name != "*." and fnmatch.fnmatchcase(host, name.rstrip("."))
    name = _plain(name.lstrip("."))
    return host == name or (address is None and bool(name) and host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    if match := _BRACKETED.fullmatch(entry):
        return match[1] + (match[2] or ""), int(match[3]) if match[3] else None
    if match := _WITH_PORT.fullmatch(entry):
        return match[1], int(match[2])
    return entry, None


def _plain(host: str) -> str:
    """Return a host in the form used for comparison: lower-case ASCII, without a final dot or a zone."""
    host = host.lower().rstrip(".")
    return host.partition("%")[0] if ":" in host else host.encode("idna").decode("ascii")


def _address(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        address = None if "/" in name else _address(_plain(name))
        return ipaddress.ip_network(address or name, strict=False)
    except ValueError:
        return None


def _find(environment: Mapping[str, str], name: str) -> str | None:
    """Return the variable of that name that takes precedence; lower case sorts last."""
    # In a CGI program, HTTP_PROXY is what the client sent as a header `Proxy`.
    is_cgi = name == "http_proxy" and "REQUEST_METHOD" in environment
    named = [each for each, value in environment.items() if each.lower() == name and value.strip()]
    return max((each for each in named if each == name or not is_cgi), default=None)


def _system_proxies(host: str) -> Mapping[str, str]:
    """Return the proxies configured in macOS or Windows; elsewhere only the environment configures them."""
    if platform.system() not in {"Darwin", "Windows"}:
        return {}
    import urllib.request  # noqa: PLC0415 - slow to load, and not needed elsewhere

    return {} if urllib.request.proxy_bypass(host) else urllib.request.getproxies()
