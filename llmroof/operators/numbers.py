"""What formulas are made of: numbers or arrays of them, and arithmetic alike for both."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

Number = Any  # float | numpy.ndarray of float64: formulas broadcast over both

#: stands for zero where a logarithm is taken
TINY: Final = 1e-30


def power(base: Number, exponent: Number) -> Number:
    """base^exponent for a base of 0 or more: the same bits for a number and in an array.

    numpy raises arrays by another routine than numbers, and squares by a third one.
    """
    return np.exp2(exponent * np.log2(np.maximum(base, TINY)))
