"""Where a command writes what it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

STDOUT = Path("-")


class Output(click.ParamType[Path]):
    """The name of a file, or `-`; with `may_be_folder`, of a folder, too."""

    name = "path"

    def __init__(self, *, may_be_folder: bool = False) -> None:
        self._may_be_folder = may_be_folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ANN401
        """Take it, unless it is none."""
        if not str(value):
            self.fail("a name is needed; - is the standard output", param, ctx)
        if str(value).endswith("/") and not self._may_be_folder:
            self.fail(f"{value} names a folder: name a file", param, ctx)
        return Path(value)
