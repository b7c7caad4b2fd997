"""
Protection of local servers against DNS rebinding.

The owner of a domain can make it resolve to 127.0.0.1. A page of that domain could then read the responses of
a server on the user's machine. Such requests have the domain in their Host header, so they can be refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]\\]+?)\.?(?::([0-9]{1,5}))?", re.ASCII)
_REFUSAL = b"403: this host name is not allowed: add it with the server's option --allow-host\n"


def parse_host(text: str) -> tuple[str, int | None]:
    """Return the name or address in a Host header, and the port if it has one. Raises ValueError."""
    match = _HOST.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is not a host name: write a name, or name:port")
    return _normal(match[1].strip("[]")), (int(match[2]) if match[2] else None)


def is_public(address: str) -> bool:
    """Return whether other machines can reach a server that listens on this address."""
    found = _as_address(address)
    return found is not None and not found.is_loopback


class HostGuard:
    """
    ASGI middleware that answers 403 unless the Host header contains one of the server's own names.

    These are the address it listens on, localhost, 127.0.0.1 and ::1, all with its port. If other machines
    can reach it, this machine's name is included; if it listens on all addresses, so is every IP address,
    because only names are vulnerable to rebinding. `allowed` adds names, with any port unless one is given.

    Requests from pages of other sites, according to the Origin header, are refused as well.
    """

    def __init__(
        self, application: Application, *, host: str, address: str, port: int, allowed: Iterable[str] = ()
    ) -> None:
        self._application, self._port = application, port
        self._names = {"localhost", "127.0.0.1", "::1", _normal(host), _normal(address)}
        if is_public(address):
            self._names.add(_normal(socket.gethostname()))
        self._is_everywhere = address in {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened on
        self._allowed = set(map(parse_host, allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on, and refuse any other."""
        if scope["type"] != "http" or self.allows(scope):
            await self._application(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(_REFUSAL))]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": _REFUSAL})

    def allows(self, scope: Scope) -> bool:
        """Return whether a request is for this server and, if a page sent it, comes from its own pages."""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        # A host in the request line takes precedence over the header.
        target = scope["raw_path"].decode("latin-1")
        named = [] if target.startswith("/") else [target]
        return (
            len(hosts) == 1
            and self._is_ours(hosts[0])
            and all(self._is_ours(_authority(url)) for url in (*origins, *named))
        )

    def _is_ours(self, host: str) -> bool:
        try:
            name, port = parse_host(host)
        except ValueError:
            return False
        if (name, port) in self._allowed or (name, None) in self._allowed:
            return True
        is_own = name in self._names or (self._is_everywhere and _as_address(name) is not None)
        return is_own and port in {None, self._port}


def _normal(name: str) -> str:
    return str(_as_address(name) or name.lower())


def _authority(url: str) -> str:
    match = re.match(r"https?://([^/?#]*)", url, re.IGNORECASE)
    return match[1] if match else ""


def _as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
