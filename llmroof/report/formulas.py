"""The engine's own formulas as data: recorded while it runs, evaluated anywhere.

The engine is pure array arithmetic, so that running it once on arrays that note every
operation gives the whole calculation as a list of steps: no formula is written twice.
A page in a browser evaluates the same steps in the same double precision.

A recording stands for every workload at once: asked whether `np.any` of its points is
so, it says yes, and no to `np.all`. What it cannot see, it refuses: a choice made by an
`if` on an array raises in numpy itself, an array whose origin was lost `NotRecorded`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from llmroof.errors import LlmroofError

#: what stands for a step in a recording: numpy's name -> number of operands
OPERATIONS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "power"), 2),
    **dict.fromkeys(("maximum", "minimum", "logical_and", "logical_or"), 2),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"), 2),
    **dict.fromkeys(("sqrt", "square", "exp", "exp2", "log", "log2", "log10"), 1),
    **dict.fromkeys(("floor", "ceil", "negative", "absolute", "sign", "logical_not"), 1),
    **{"where": 3, "clip": 3},
}
#: numpy's other names for operations on truth values
_SAME: Final = {
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "invert": "logical_not",
}
_CODES: Final = {name: code for code, name in enumerate(OPERATIONS)}
_NO_OPERAND: Final = -1

Step: TypeAlias = tuple[int, int, int, int]


class NotRecorded(LlmroofError):
    """A calculation that cannot be written down as steps on numbers."""


@dataclass(frozen=True, slots=True)
class Program:
    """A calculation without its constants: steps on numbered values.

    Values are numbered inputs first, then constants, then the results of `steps`
    (operation, up to three operands, -1 for none). `outputs` name values.
    """

    inputs: tuple[str, ...]
    constants: int
    steps: tuple[Step, ...]
    outputs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Formulas:
    """A program and the constants it is run with."""

    program: Program
    constants: tuple[float, ...]

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Every output at these inputs (numbers or arrays that broadcast)."""
        program = self.program
        values: list[Any] = [np.asarray(inputs[name], np.float64) for name in program.inputs]
        values += [np.float64(constant) for constant in self.constants]
        run: list[Callable[..., Any]] = [getattr(np, name) for name in OPERATIONS]
        with np.errstate(all="ignore"):  # both sides of a choice are computed
            for code, *operands in program.steps:
                values.append(run[code](*(values[at] for at in operands if at != _NO_OPERAND)))
        return {name: values[at] for name, at in program.outputs.items()}


@dataclass(slots=True)
class _Tape:
    """What was computed so far, each distinct step once."""

    size: int
    nodes: list[tuple[Any, ...]] = field(default_factory=list)
    found: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def put(self, *node: Any) -> int:
        """The number of a node: the earlier one where the same was computed before."""
        if node not in self.found:
            self.found[node] = len(self.nodes)
            self.nodes.append(node)
        return self.found[node]

    def constant(self, value: Any) -> int:
        """A plain number; an array counts as one when all its elements are the same."""
        if isinstance(value, int | float):
            return self.put("constant", float(value))
        array = np.asarray(value, np.float64)
        if array.size == 0 or not np.all(array == array.flat[0]):
            raise NotRecorded("a number that varies has lost its origin: it cannot be recorded")
        return self.put("constant", float(array.flat[0]))

    def number(self, value: Any) -> int:
        return value.node if isinstance(value, Recorded) else self.constant(value)


class Recorded(np.ndarray):
    """An array of samples that writes every operation on it to a tape."""

    tape: _Tape
    node: int

    def __array_finalize__(self, source: Any) -> None:
        """Nothing: a view has an origin only where `_recorded` gives it one."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **extra: Any) -> Any:
        """Compute on the samples and note the operation."""
        if method != "__call__" or extra:
            raise NotRecorded(f"numpy.{ufunc.__name__}.{method} cannot be recorded")
        return self._note(ufunc.__name__, ufunc, inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """`where` and `clip` are operations, a table becomes some; shapes are told."""
        if func in (np.where, np.clip) and len(args) == 3 and not kwargs:
            return self._note(func.__name__, func, args)
        if func is np.interp and len(args) == 3 and isinstance(args[0], Recorded):
            return _interpolated(*args)
        if func in (np.any, np.all) and len(args) == 1:
            return func is np.any
        if func in (np.shape, np.ndim, np.size):
            return func(self.view(np.ndarray))
        raise NotRecorded(f"numpy.{func.__name__} cannot be recorded")

    def __getitem__(self, key: Any) -> Any:
        """The array itself for `[()]`; parts of it have no meaning in a recording."""
        if isinstance(key, tuple) and key == ():
            return self
        raise NotRecorded("an element of an array cannot be recorded")

    def _note(self, name: str, function: Any, inputs: Sequence[Any]) -> Recorded:
        if all(np.asarray(_plain(value)).dtype == np.bool_ for value in inputs):
            name = _SAME.get(name, name)
        if name not in OPERATIONS:
            raise NotRecorded(f"numpy.{name} cannot be recorded")
        with np.errstate(all="ignore"):
            values = function(*(_plain(value) for value in inputs))
        operands = (self.tape.number(value) for value in inputs)
        return _recorded(self.tape, self.tape.put(name, *operands), values)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Recorded) else value


def _interpolated(x: Recorded, places: Any, values: Any) -> Any:
    """`np.interp` as steps: in each section slope·(x − start) + value, level at the ends."""
    if isinstance(places, Recorded) or isinstance(values, Recorded):
        raise NotRecorded("numpy.interp in a table that varies cannot be recorded")
    slopes = np.diff(values) / np.diff(places)
    found: Any = float(values[0])
    for place, value, slope in zip(places[:-1], values[:-1], slopes, strict=True):
        found = np.where(x >= place, slope * (x - place) + value, found)
    return np.where(x >= places[-1], float(values[-1]), found)


def _recorded(tape: _Tape, node: int, values: Any) -> Recorded:
    plain = np.asarray(values)
    if plain.shape != (tape.size,):
        plain = np.broadcast_to(plain, (tape.size,))
    array = plain.view(Recorded)
    array.tape, array.node = tape, node
    return array


def record(
    calculation: Callable[..., Mapping[str, Any]], samples: Mapping[str, Sequence[float]]
) -> Formulas:
    """Run `calculation(**samples)` once and keep what it did to them.

    `samples` are a few values of each input, all lists of one length: real enough for
    the calculation to run, of no influence on the formulas. Outputs are numbers; those
    that do not depend on the inputs become constants. Raises NotRecorded.
    """
    tape = _Tape(size=len(next(iter(samples.values()))))
    recorded = {
        name: _recorded(tape, tape.put("input", name), np.asarray(values, np.float64))
        for name, values in samples.items()
    }
    outputs = {name: tape.number(value) for name, value in calculation(**recorded).items()}
    return _pack(tape, tuple(samples), outputs)


def _pack(tape: _Tape, inputs: tuple[str, ...], outputs: Mapping[str, int]) -> Formulas:
    """The nodes that outputs rest on, renumbered: inputs, constants, steps."""
    needed = {tape.put("input", name) for name in inputs}
    todo = list(outputs.values())
    while todo:
        node = todo.pop()
        if node not in needed:
            needed.add(node)
            todo += _operands(tape.nodes[node])
    order = sorted(needed, key=lambda node: (_rank(tape.nodes[node]), node))
    place = {node: index for index, node in enumerate(order)}
    steps = []
    for node in order:
        name = tape.nodes[node][0]
        if name in _CODES:
            operands = [place[at] for at in _operands(tape.nodes[node])]
            first, second, third = (*operands, *[_NO_OPERAND] * (3 - len(operands)))
            steps.append((_CODES[name], first, second, third))
    constants = tuple(tape.nodes[node][1] for node in order if tape.nodes[node][0] == "constant")
    named = {name: place[node] for name, node in outputs.items()}
    return Formulas(Program(inputs, len(constants), tuple(steps), named), constants)


def _rank(node: tuple[Any, ...]) -> int:
    return {"input": 0, "constant": 1}.get(node[0], 2)


def _operands(node: tuple[Any, ...]) -> tuple[int, ...]:
    return () if node[0] in ("input", "constant") else node[1:]
