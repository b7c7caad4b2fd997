"""`gcore-etl completion`: the completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from etl.cli.console import show


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print a script that completes commands and options in your shell.

    For bash: gcore-etl completion bash >> ~/.bashrc
    """
    completer = get_completion_class(shell)
    if completer is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root().command
    show(completer(root, {}, "gcore-etl", "_GCORE_ETL_COMPLETE").source())
