"""Operators as values: what a step computes and moves, before any hardware is named."""

from llmroof.operators.execution import Execution, Plan
from llmroof.operators.linear import Linear, matmul
from llmroof.operators.operator import Number, Operator, elementwise, repeated
from llmroof.operators.step import Step, sequences, tokens

__all__ = [
    "Execution",
    "Linear",
    "Number",
    "Operator",
    "Plan",
    "Step",
    "elementwise",
    "matmul",
    "repeated",
    "sequences",
    "tokens",
]
