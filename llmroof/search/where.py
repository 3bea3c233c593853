"""`--where`: conditions over columns, with units: `tpot_s < 30 ms and fits`.

A small grammar and nothing else: no call, no attribute, no index, no eval.
  condition   = disjunction of conjunctions of `not` and comparisons
  comparison  = sum [(< | <= | > | >= | == | = | !=) sum]
  sum         = terms of + - * / over numbers, `30 ms`, `80 GB`, `5 %`, columns, 'text'
Conditions are evaluated on whole columns at once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from llmroof import units
from llmroof.errors import InputError, nearest

#: name of a column -> its values
Lookup: TypeAlias = Callable[[str], Any]

_LONGEST: Final = 500
_DEEPEST: Final = 50
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<text>'[^'\n]*'|"[^"\n]*")
    |(?P<sign><=|>=|==|!=|[-+*/()<>=]))""",
    re.VERBOSE | re.ASCII,
)
_UNIT: Final = re.compile(r"\s*(%|[A-Za-zµ]+(?:/[A-Za-z]+)?)")
_COMPARE: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
_ARITHMETIC: Final = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
#: three-valued logic (Kleene): `and` is the least, `or` the greatest, `not` the mirror image
_FALSE, _UNKNOWN, _TRUE = np.int8(0), np.int8(1), np.int8(2)
_WORDS: Final = ("and", "or", "not", "true", "false")
#: what the name of a column ends in -> what it measures
_MEASURES: Final = (
    *(("_tokens_per_s", ""), ("_per_s", ""), ("_s", "s"), ("_s_low", "s"), ("_s_high", "s")),
    ("bytes", "B"),
)


class _Token(NamedTuple):
    kind: str
    text: str
    end: int


@dataclass(frozen=True, slots=True)
class _Value:
    """A part of a condition: how to compute it, and what it measures (None: any)."""

    of: Callable[[Lookup], Any]
    kind: str
    measure: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition; `columns` are the names it uses."""

    text: str
    columns: frozenset[str]
    _value: _Value

    def mask(self, lookup: Lookup) -> Any:
        """True where the condition holds; unknown values (None, NaN) never meet one."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.asarray(self._value.of(lookup) == _TRUE, dtype=np.bool_)


def parse_where(
    text: str,
    known: Iterable[str],
    measures: Mapping[str, str | None] | None = None,
    name: str = "--where",
) -> Condition:
    """Parse a condition over the columns `known`; InputError says what is wrong and where.

    `name` is what the condition is called in messages.
    `measures` are the dimensions of columns whose names do not tell (None: text); a
    column of these that stands alone (`fp8`) holds where its value is known.
    """
    parser = _Parser(text, frozenset(known), measures, name)
    value = parser.either()
    parser.end()
    if value.kind != "truth":
        raise InputError(f"{name} '{_short(text)}' is no condition: compare it with something")
    return Condition(text, frozenset(parser.used), value)


class _Parser:
    """Recursive descent; `at` is the place in the text."""

    def __init__(
        self,
        text: str,
        known: frozenset[str],
        measures: Mapping[str, str | None] | None = None,
        name: str = "--where",
    ) -> None:
        if len(text) > _LONGEST:
            raise InputError(f"{name} is longer than {_LONGEST} characters")
        self.text, self.known, self.measures, self.name = text, known, measures, name
        self.at = self.depth = 0
        self.used: set[str] = set()

    def either(self) -> _Value:
        """Conditions joined by `or`."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise InputError(f"{self.name} is nested deeper than {_DEEPEST} levels")
        value = self._both()
        while self._word("or"):
            value = self._join(value, self._both(), np.maximum, "or")
        self.depth -= 1
        return value

    def end(self) -> None:
        """Nothing may follow."""
        if self.text[self.at :].strip():
            raise self._wrong("an operator")

    def _both(self) -> _Value:
        value = self._not()
        while self._word("and"):
            value = self._join(value, self._not(), np.minimum, "and")
        return value

    def _not(self) -> _Value:
        turns = 0
        while self._word("not"):
            turns += 1
        value = self._comparison()
        if turns and value.kind != "truth":
            raise InputError(f"{self.name} '{_short(self.text)}': `not` needs a condition")
        if turns % 2 == 0:
            return value
        return _Value(lambda look: _TRUE - value.of(look), "truth")

    def _join(self, one: _Value, two: _Value, how: Any, word: str) -> _Value:
        if one.kind != "truth" or two.kind != "truth":
            raise InputError(f"{self.name} '{_short(self.text)}': `{word}` joins conditions")
        return _Value(lambda look: how(one.of(look), two.of(look)), "truth")

    def _comparison(self) -> _Value:
        left = self._sum()
        sign = self._sign(*_COMPARE)
        if sign is None:
            return self._present(left)
        right = self._sum()
        if left.kind != right.kind:
            raise InputError(
                f"{self.name} '{_short(self.text)}' compares a {left.kind} with a {right.kind}"
            )
        if left.kind != "number" and sign not in ("==", "=", "!="):
            raise InputError(f"{self.name} '{_short(self.text)}': a {left.kind} is only = or !=")
        self._same_measure(left, right)
        compare = _COMPARE[sign]
        if left.kind == "text":
            return _Value(lambda look: _same_text(compare, left.of(look), right.of(look)), "truth")
        if left.kind == "truth":
            return _Value(lambda look: _same_truth(compare, left.of(look), right.of(look)), "truth")
        return _Value(lambda look: _known(compare, left.of(look), right.of(look)), "truth")

    def _present(self, value: _Value) -> _Value:
        """A described column that stands alone asks whether its value is known."""
        if self.measures is None or value.column is None:
            return value
        stated = np.frompyfunc(lambda one: one is not None, 1, 1)
        return _Value(lambda look: _truth(stated(value.of(look))), "truth")

    def _sum(self) -> _Value:
        value = self._product()
        while sign := self._sign("+", "-"):
            other = self._product()
            self._same_measure(value, other)
            value = self._compute(sign, value, other, value.measure or other.measure)
        return value

    def _product(self) -> _Value:
        value = self._factor()
        while sign := self._sign("*", "/"):
            value = self._compute(sign, value, self._factor(), None)
        return value

    def _compute(self, sign: str, one: _Value, two: _Value, measure: str | None) -> _Value:
        if one.kind != "number" or two.kind != "number":
            raise InputError(f"{self.name} '{_short(self.text)}': `{sign}` needs numbers")
        how: Callable[[Any, Any], Any] = _ARITHMETIC[sign]
        return _Value(
            lambda look: how(_numbers(one.of(look)), _numbers(two.of(look))), "number", measure
        )

    def _factor(self) -> _Value:
        if self._sign("("):
            value = self.either()
            if not self._sign(")"):
                raise self._wrong("`)`")
            return value
        if self._sign("-"):
            return self._compute("-", _Value(lambda _: 0.0, "number"), self._atom(), None)
        return self._atom()

    def _atom(self) -> _Value:
        token = self._next()
        if token is None or token.kind == "sign" or token.text in ("and", "or", "not"):
            raise self._wrong("a column, a number or 'text'")
        self.at = token.end
        if token.kind == "number":
            return self._quantity(float(token.text))
        if token.kind == "text":
            text = token.text[1:-1]
            return _Value(lambda _: text, "text")
        if token.text in ("true", "false"):
            truth = _TRUE if token.text == "true" else _FALSE
            return _Value(lambda _: truth, "truth")
        return self._column(token.text)

    def _column(self, name: str) -> _Value:
        if name not in self.known:
            guess = nearest(name, self.known)
            hint = f"; did you mean '{guess}'?" if guess else ""
            raise InputError(f"{self.name}: there is no column '{_short(name)}'{hint}")
        self.used.add(name)
        kind, measure = kind_of(name), _measure(name)
        if self.measures is not None:
            measure = self.measures[name]
            kind = "text" if measure is None else "number"
        if kind == "truth":
            return _Value(lambda look: _truth(look(name)), kind, measure, name)
        return _Value(lambda look: look(name), kind, measure, name)

    def _quantity(self, number: float) -> _Value:
        match = _UNIT.match(self.text, self.at)
        if match is None or match[1] in _WORDS or match[1] in self.known:
            return _Value(lambda _: number, "number")
        self.at = match.end()
        if match[1] == "%":
            return _Value(lambda _: number / 100, "number")
        value, measure = _in_si(number, match[1], self.name)
        return _Value(lambda _: value, "number", measure)

    def _same_measure(self, one: _Value, two: _Value) -> None:
        if None not in (one.measure, two.measure) and one.measure != two.measure:
            names = [value.measure or "a plain number" for value in (one, two)]
            raise InputError(
                f"{self.name} '{_short(self.text)}' compares {names[0]} with {names[1]}"
            )

    def _next(self) -> _Token | None:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            return None
        kind = match.lastgroup or ""
        return _Token(kind, match[kind], match.end())

    def _word(self, word: str) -> bool:
        token = self._next()
        if token is None or token.kind != "name" or token.text != word:
            return False
        self.at = token.end
        return True

    def _sign(self, *signs: str) -> str | None:
        token = self._next()
        if token is None or token.kind != "sign" or token.text not in signs:
            return None
        self.at = token.end
        return token.text

    def _wrong(self, due: str) -> InputError:
        rest = self.text[self.at :].strip()
        found = f"before '{_short(rest)}'" if rest else "at the end"
        return InputError(f"{self.name} '{_short(self.text)}': {due} is missing {found}")


def _in_si(number: float, unit: str, name: str) -> tuple[float, str]:
    """(value in SI, what it measures) of a number with a unit of any dimension."""
    for measure in units.DIMENSIONS:
        try:
            return units.parse(f"{number!r} {unit}", measure), measure
        except ValueError:
            continue
    raise InputError(f"{name}: unknown unit '{_short(unit)}' after {number:g}")


_TEXTS: Final = frozenset(
    ("model", "hardware", "weights", "activations", "kv_cache_dtype", "engine", "attention",
     "fusion", "all_reduce", "load", "draft_model", "prefill_bound", "decode_bound",
     "transfer_overlap", "disaggregated_limited_by", "disaggregated_link")
)  # fmt: skip
_TRUTHS: Final = frozenset(("fits", "kv_cache", "limit", "random_lengths", "disaggregated"))


def kind_of(column: str) -> str:
    """`text`, `truth` or `number`: what a column holds."""
    if column in _TEXTS:
        return "text"
    return "truth" if column in _TRUTHS else "number"


def _measure(column: str) -> str | None:
    """The dimension of a column as `units` calls it; "" for a plain number."""
    if column.endswith("_flop"):
        return "FLOP"
    return next((measure for end, measure in _MEASURES if column.endswith(end)), "")


def _numbers(value: Any) -> Any:
    """Float64; unknown is NaN."""
    if value is None:
        return np.nan
    return np.asarray(value, dtype=np.float64) if np.ndim(value) else float(value)


def _truth(value: Any) -> Any:
    """Truth values as 2 (true), 0 (false), 1 (unknown)."""
    number = _numbers(value)
    return _graded(number != 0, ~np.isnan(number))


def _graded(holds: Any, known: Any) -> Any:
    """True or false where `known`, unknown elsewhere."""
    return np.where(known, np.where(holds, _TRUE, _FALSE), _UNKNOWN)


def _known(compare: Any, one: Any, two: Any) -> Any:
    """The comparison of numbers, unknown where either side is (NaN)."""
    one, two = _numbers(one), _numbers(two)
    return _graded(compare(one, two), ~(np.isnan(one) | np.isnan(two)))


def _same_truth(compare: Any, one: Any, two: Any) -> Any:
    return _graded(compare(one, two), (one != _UNKNOWN) & (two != _UNKNOWN))


def _same_text(compare: Any, one: Any, two: Any) -> Any:
    """The comparison of texts, unknown where either side is (None, or empty in a table)."""
    one, two = np.asarray(one, dtype=object), np.asarray(two, dtype=object)
    known = (one != None) & (one != "") & (two != None) & (two != "")  # noqa: E711 (of each)
    return _graded(compare(one, two), known)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
