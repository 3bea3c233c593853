"""Recurrent token mixers: what they share.

A mixer projects the input, runs a short causal convolution over the last few tokens,
updates a state of fixed size per sequence, reads it out and projects back. Cost per
token does not depend on the context; the cache does not grow. FLOP of the core are
those of the recurrence (2 per multiply-add); chunked kernels compute more in matrix
units to be faster, which is the time model's matter.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from llmroof.blocks.base import (
    Block,
    Cache,
    Norm,
    Tensor,
    linear_tensors,
    norm_work,
    project,
    small_tensors,
)
from llmroof.operators import Execution, Linear, Operator, Plan, Step, matmul, tokens
from llmroof.operators.collective import all_reduce
from llmroof.specs.precision import number_format

#: convolution state is kept in 16 bits, whatever the recurrent state is
CONV_STATE = number_format("bf16")


class Recurrent(Block):
    """Base of the recurrent mixers; a kind says what is particular to it."""

    hidden: int
    norms: int
    norm_bias: bool
    scales: int
    conv_kernel: int
    state_bits: int = 32

    @abstractmethod
    def inputs(self) -> tuple[Linear, ...]:
        """Projections of the layer's input."""

    def inner(self) -> tuple[Linear, ...]:
        """Projections of what lies between input and output, one after the other."""
        return ()

    @abstractmethod
    def output(self) -> Linear:
        """Projection back to the model width."""

    @abstractmethod
    def convolved(self) -> int:
        """Channels of the short convolution."""

    def conv_biases(self) -> int:
        """Biases of the short convolution."""
        return 0

    def state_values(self) -> float:
        """Values of the recurrent state of one sequence."""
        return 0.0

    def state_bytes(self) -> float:
        """Bytes of the recurrent state of one sequence."""
        return self.state_values() * self.state_bits / 8

    def core_flop(self) -> float:
        """FLOP of the recurrence for one token."""
        return 0.0

    @abstractmethod
    def ways(self) -> float:
        """How many devices can share the mixer: its heads."""

    def vectors(self) -> float:
        """Gains, decays and other small parameters, the layer norms apart."""
        return 0.0

    @property
    def norm_parameters(self) -> float:
        """Gains and biases of the layer norms."""
        return Norm(self.hidden, self.norms, self.norm_bias).parameters

    def conv_parameters(self) -> float:
        """Filter and bias of the short convolution."""
        return self.convolved() * self.conv_kernel + self.conv_biases()

    def conv_state_bytes(self) -> float:
        """Bytes of the last tokens that the convolution needs, per sequence."""
        return self.convolved() * self.conv_kernel * CONV_STATE.bytes

    def tensors(self) -> tuple[Tensor, ...]:
        conv = self.conv_parameters()
        return (
            *linear_tensors((*self.inputs(), *self.inner(), self.output())),
            *((Tensor("conv1d", "state", conv, limit=self.ways()),) if conv else ()),
            *small_tensors(self.norm_parameters, self.vectors() + self.scales),
        )

    def cache(self) -> tuple[Cache, ...]:
        return (Cache(state=self.state_bytes() + self.conv_state_bytes(), limit=self.ways()),)

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows, output = tokens(steps), self.output()
        message = rows * (self.hidden * run.precision.base.bytes)
        return (
            norm_work("mixer_norm", rows, self.hidden, self.norms, self.norm_parameters, run),
            *project("mixer_in_proj", self.inputs(), rows, run),
            *(self._conv(step, run) for step in steps if self.convolved()),
            *(matmul(linear.name, (linear,), rows, run) for linear in self.inner()),
            *(self._scan(step, run) for step in steps if self.core_flop()),
            matmul(output.name, (output,), rows, run),
            *all_reduce("mixer_all_reduce", message, run.plan.tp),
        )

    def _conv(self, step: Step, run: Execution) -> Operator:
        """Short depthwise convolution: reads and writes the last tokens of each sequence."""
        base, ways = run.precision.base, min(run.plan.tp, self.ways())
        rows = step.batch * step.new_tokens
        channels = self.convolved() / ways
        return Operator(
            "short_conv",
            "conv",
            base.compute,
            flop=rows * (2 * channels * self.conv_kernel),
            weight_bytes=self.conv_parameters() / ways * base.bytes,
            kv_bytes=step.batch * (2 * self.conv_state_bytes() / ways),
            activation_bytes=rows * (2 * channels * base.bytes),
        )

    def _scan(self, step: Step, run: Execution) -> Operator:
        """The recurrence: the state of each sequence is read and written once."""
        base, ways = run.precision.base, min(run.plan.tp, self.ways())
        rows = step.batch * step.new_tokens
        moved = (self.convolved() + self.output().inputs) / ways
        return Operator(
            "scan",
            "scan",
            base.compute,
            flop=rows * (self.core_flop() / ways),
            kv_bytes=step.batch * (2 * self.state_bytes() / ways),
            activation_bytes=rows * (moved * base.bytes),
        )

    def workspace(self, plan: Plan) -> float:
        wide = sum(linear.outputs for linear in self.inputs())
        return (wide + self.output().inputs) / min(plan.tp, self.ways())
