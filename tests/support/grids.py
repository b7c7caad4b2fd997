"""Grids of cases of which some always run, and all with `make test-slow`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def one_in(
    number: int, names: str, *axes: Iterable[Any], indirect: Sequence[str] = ()
) -> pytest.MarkDecorator:
    """
    Run every combination: one in `number` of them always, the others where slow tests run.

    With two axes or more of at least so many values each, every value comes up in what always runs. A tuple
    is the values of several names.
    """
    cases = [
        pytest.param(
            *itertools.chain.from_iterable(map(_values, case)),
            marks=[pytest.mark.slow] if total % number else [],
        )
        for case in itertools.product(*(enumerate(axis) for axis in axes))
        for total in [sum(place for place, _ in case)]
    ]
    return pytest.mark.parametrize(names, cases, indirect=indirect)


def _values(place_and_value: tuple[int, Any]) -> tuple[Any, ...]:
    _, value = place_and_value
    return value if isinstance(value, tuple) else (value,)
