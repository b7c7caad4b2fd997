"""The command `gcore-etl`, also as `python -m etl`."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the import waits so that nothing is loaded before it is needed."""
    from etl.cli import cli

    cli(prog_name="gcore-etl")


if __name__ == "__main__":
    main()
