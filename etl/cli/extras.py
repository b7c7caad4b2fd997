"""Imports of our packages that need an extra of the distribution."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from etl.errors import MissingExtra

if TYPE_CHECKING:
    from types import ModuleType


def import_extra(package: str, *, feature: str, extra: str) -> ModuleType:
    """Return one of our packages. Raises MissingExtra if the packages that it needs are not installed."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "etl":
            raise
        raise MissingExtra(feature, extra) from None
