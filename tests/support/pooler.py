"""A real PgBouncer in front of a test's Postgres, in any pool mode."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url
from support.absent import require
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# On Debian it is in a folder that only root has on its path.
_PATH = f"{os.environ['PATH']}:/usr/sbin"
_CONFIGURATION = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
{options}
"""


@contextlib.contextmanager
def pooled(database_url: str, mode: str, **options: object) -> Iterator[str]:
    """Yield the URL of a database behind PgBouncer; `options` are settings of its configuration file."""
    require("pgbouncer", path=_PATH)
    url = make_url(database_url)
    folder = Path(tempfile.mkdtemp(prefix="gcore-etl-pooler-"))
    port = _free_port()
    keys = {"host": url.host or url.query.get("host"), "port": url.port, "user": url.username}
    keys["password"] = url.password or None
    (folder / "pgbouncer.ini").write_text(
        _CONFIGURATION.format(
            server=" ".join(f"{key}={value}" for key, value in keys.items() if value is not None),
            port=port,
            mode=mode,
            folder=folder,
            options="\n".join(f"{name} = {value}" for name, value in options.items()),
        )
    )
    try:
        with _running(folder, str(keys["host"])):
            address = f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}"
            wait_until(lambda: _answers(port), "the pooler listens")
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(folder: Path, server_folder: str) -> Iterator[None]:
    command = [shutil.which("pgbouncer", path=_PATH) or "pgbouncer", str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # PgBouncer refuses to run as root
        user = _user_for(server_folder)
        os.chown(folder, user.pw_uid, user.pw_gid)
        command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _user_for(server_folder: str) -> pwd.struct_passwd:
    """Return a user that may use the server's socket, if it has one."""
    if server_folder.startswith("/"):
        return pwd.getpwuid(Path(server_folder).stat().st_uid)
    return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
