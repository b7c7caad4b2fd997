"""Secrets that tests put in every place, and the search for pieces of them."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote

import sqlalchemy as sa

from etl.database import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.processes import Ended


KEY = "1234$Qx7fK2mZ9vLr4TbW$8nHs3YcJ6pDg1Re5Ua0"

PASSWORD = "Zk9wQ$x%4tR@7/mX2?vB#6nJ[8pL"

SHORTEST = 6


def pieces(secret: str) -> set[str]:
    """Return the shortest pieces of a secret, in lower case."""
    return {secret[start : start + SHORTEST].lower() for start in range(len(secret) - SHORTEST + 1)}


def check_clean(text: str, *secrets: str) -> None:
    """Check that no piece of a secret is in a text, as it is or as it is written in a URL."""
    for shown in (text.lower(), unquote(text).lower()):
        found = {piece for secret in secrets for piece in pieces(secret) if piece in shown}
        assert found == set(), [line for line in shown.splitlines() if any(piece in line for piece in found)]


def check_database(database_url: str, *secrets: str) -> None:
    """Check every column of every row of every table."""
    with reading(database_url, any_schema=True) as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = [row for table in tables for row in connection.execute(sa.text(f"SELECT * FROM {table}"))]
    assert rows
    check_clean(repr(rows), *secrets)


def check_ended(ended: Ended, *secrets: str) -> None:
    """Check what a command has printed."""
    check_clean(ended.out, *secrets)
    check_clean(ended.err, *secrets)


@contextlib.contextmanager
def talking(converse: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one conversation after the other on a free port."""

    def serve_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(OSError):
                    converse(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_all, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def refuse_login(peer: socket.socket) -> None:
    """Speak as a Postgres server does that wants a password, and refuses this one, repeating it."""
    while int.from_bytes(peer.recv(4)) == 8:  # the length of a wish for encryption
        peer.recv(4)
        peer.sendall(b"N")
    peer.recv(65536)
    peer.sendall(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
    password = peer.recv(65536)[5:].rstrip(b"\0").decode()
    fields = f'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "u": {password}\0\0'.encode()
    peer.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)
