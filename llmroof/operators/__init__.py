"""Operators as values: what a step computes and moves, before any hardware is named."""

from llmroof.operators.execution import Execution, Plan
from llmroof.operators.linear import Linear, matmul
from llmroof.operators.numbers import Number, choose, larger, power
from llmroof.operators.operator import Operator, elementwise, repeated
from llmroof.operators.step import Step, sequences, tokens

__all__ = [
    "Execution",
    "Linear",
    "Number",
    "Operator",
    "Plan",
    "Step",
    "choose",
    "elementwise",
    "larger",
    "matmul",
    "power",
    "repeated",
    "sequences",
    "tokens",
]
