"""Mutants of the code: each with its place, its source, and the functions that it changes."""

from __future__ import annotations

import ast
import gc
import inspect
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import cosmic_ray.plugins as operators
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).resolve().parents[2]
CODE = ("llmroof/engine", "llmroof/operators", "llmroof/blocks", "llmroof/models/model.py")
BITS = ("_BitAnd", "_BitOr", "_BitXor", "_LShift", "_RShift", "Invert")


def mutants() -> list[dict[str, Any]]:
    """Every mutant: file, operator, occurrence, and its line. In a fixed order."""
    names = [n for n in sorted(operators.operator_names()) if not n.endswith(BITS)]
    kinds = [(n, operators.get_operator(n)) for n in names]
    tries = [(n, kind()) for n, kind in kinds if not kind.arguments()]
    found = []
    for path in (p for part in CODE for p in sources(ROOT / part)):
        nodes = list(ast_nodes(get_ast(path.read_text())))
        for name, operator in tries:
            places = (place for node in nodes for place in operator.mutation_positions(node))
            for occurrence, ((line, _), _) in enumerate(places):
                file = str(path.relative_to(ROOT))
                found.append({"file": file, "line": line, "operator": name, "nth": occurrence})
    return found


def sources(path: Path) -> list[Path]:
    """The Python files of a folder, or the file itself."""
    return sorted(path.glob("*.py")) if path.is_dir() else [path]


def mutated(one: dict[str, Any]) -> str | None:
    """The mutant's source; None where only an annotation differs or nothing compiles."""
    source = (ROOT / one["file"]).read_text()
    changed = mutate_code(source, operators.get_operator(one["operator"])(), one["nth"])
    try:  # `{**more}` is no power
        same = changed is None or _running(changed) == _running(source)
    except SyntaxError:
        return None
    return None if same else str(changed)


def _running(source: str) -> str:
    """The program without its annotations."""
    compile(source, "a mutant", "exec", dont_inherit=True)
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if hasattr(node, name):
                setattr(node, name, ast.Constant(None))
    return ast.dump(tree)


def draw(seed: int, size: int) -> list[dict[str, Any]]:
    """A random sample of the mutants that differ from the code, each with its source."""
    everything = mutants()
    random.Random(seed).shuffle(everything)
    sources = ((one, mutated(one)) for one in everything)
    kept = (one | {"source": source} for one, source in sources if source is not None)
    return list(islice(kept, size))


def statement(source: str, line: int) -> range:
    """Lines of the smallest statement around a line; of a signature, the function's body too."""
    around = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if not around:  # a decorator stands above its statement
        return range(line, line + 1)
    node = max(around, key=lambda node: node.lineno)
    body = getattr(node, "body", None)
    if body and not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return range(node.lineno, body[0].lineno)
    return range(node.lineno, (node.end_lineno or 0) + 1)


def functions(code: CodeType) -> tuple[list[CodeType], list[Any]]:
    """The functions of a module and its classes, and what the module and classes do themselves."""
    own: list[Any] = [code.co_code, code.co_names]
    found = []
    for constant in code.co_consts:
        if not isinstance(constant, CodeType):
            own.append(repr(constant))
        elif constant.co_flags & inspect.CO_OPTIMIZED and "comp>" not in constant.co_name:
            found.append(constant)
        else:
            inner, theirs = functions(constant)
            found, own = found + inner, own + theirs
    return found, own


def both(file: str, source: str) -> Iterator[tuple[list[CodeType], list[Any]]]:
    """`functions` of the file as it is and of the mutant."""
    path = str(ROOT / file)
    for text in ((ROOT / file).read_text(), source):
        yield functions(compile(text, path, "exec", dont_inherit=True))


def is_inside(file: str, source: str) -> bool:
    """Whether the mutant differs inside functions alone."""
    (before, own), (after, theirs) = both(file, source)
    return own == theirs and len(before) == len(after)


def replace_code(file: str, source: str) -> bool:
    """Puts the mutant's code into the functions at hand; False if there is none."""
    (before, _), (after, _) = both(file, source)
    swap = {_key(old): new for old, new in zip(before, after, strict=True) if old != new}
    things = [thing for thing in gc.get_objects() if isinstance(thing, FunctionType)]
    hit = [thing for thing in things if _key(thing.__code__) in swap]
    for function in hit:
        function.__code__ = swap[_key(function.__code__)]
    return bool(hit)


def _key(code: CodeType) -> tuple[Any, ...]:
    return code.co_filename, code.co_qualname, code.co_firstlineno, code.co_linetable
