"""What formulas are made of: numbers or arrays of them, and arithmetic alike for both."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

Number = Any  # float | numpy.ndarray of float64: formulas broadcast over both

#: stands for zero where a logarithm is taken
TINY: Final = 1e-30


def larger(one: Number, other: Number) -> Number:
    """The larger of two, as `numpy.maximum`: for plain numbers in a tenth of its time."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.maximum(one, other)
    return one if one >= other else other


def choose(condition: Any, one: Number, other: Number) -> Number:
    """`numpy.where`, with a plain number for a plain condition."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, one, other)
    return one if condition else other


def power(base: Number, exponent: Number) -> Number:
    """base^exponent for a base of 0 or more: the same bits for a number and in an array.

    numpy raises arrays by another routine than numbers, and squares by a third one.
    """
    raised = np.exp2(exponent * np.log2(larger(base, TINY)))
    return raised if isinstance(raised, np.ndarray) else raised.item()
