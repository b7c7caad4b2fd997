"""Grids of test cases: some always run, and all run with `make test-slow`."""

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
    Return a parametrization with every combination: one in `number` always runs, the others are slow.

    If two axes or more have at least `number` values each, every value occurs in a case that always runs. A
    tuple has the values of several names.
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
