"""Where a command writes what it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

STDOUT = Path("-")


class Output(click.ParamType[Path]):
    """The name of a file or folder, or `-`."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ANN401
        """Take it, unless it is none."""
        if not str(value):
            self.fail("a name is needed; - is the standard output", param, ctx)
        return Path(value)
