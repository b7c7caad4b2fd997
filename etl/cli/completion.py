"""`gcore-etl completion`: the completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from etl.cli.console import print_data

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print a script that completes commands and options in your shell.

    For bash: gcore-etl completion bash >> ~/.bashrc
    """
    root = context.find_root().command
    print_data(_SHELLS[shell](root, {}, "gcore-etl", "_GCORE_ETL_COMPLETE").source())
