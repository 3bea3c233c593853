"""The rules of the house, held by the source itself: layers, sizes, docstrings, scales."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import llmroof

PACKAGE = Path(llmroof.__file__).resolve().parent

#: the layers, lowest first; a module imports from its own layer and from those before it
LAYERS = (
    ("errors", "units", "ranges"),
    ("specs",),
    ("operators",),
    ("blocks",),
    ("models",),
    ("calibration",),
    ("engine",),
    ("bearing",),
    ("resolve", "arguments"),
    ("api",),
    ("figures",),
    ("search",),
    ("evidence",),
    ("measure",),
    ("regression",),
    ("render",),
    ("report",),
    ("serve",),
    ("cli", "testing"),
)
#: imports that go the other way, each inside a function and with its reason
UPWARD = {
    ("engine.estimate", "render"): "Estimate shows itself as a frame and in a notebook",
    ("search.goal", "render"): "Answer shows itself in a notebook",
    ("__main__", "cli"): "python -m llmroof is the command line",
}
#: what the engine and all below it that holds formulas never import
NO_IO = ("yaml", "json", "click", "rich", "pandas", "matplotlib", "pathlib", "os", "sys", "io")
PURE = ("engine", "operators", "blocks")

#: scales of units that belong in units.py: thousand, million ... and 2^10, 2^20 ...
SCALES = {10**n for n in range(3, 19, 3)} | {2**n for n in range(10, 61, 10)}
#: literals that look like scales and are none: (module, value) -> why
NO_SCALES = {
    ("resolve", 1024): "the default prompt, in tokens",
    ("resolve", 10**9): "no batch or length is above this",
    ("specs.hardware", 10**6): "no count of parts is above this",
    ("calibration.load", 10**9): "no number of tokens is above this",
    ("calibration.load", 1024): "sequences at once where a test makes rules by hand",
    ("models.hf_config", 1024): "dimensions that published configuration classes default to",
    ("render.plots.roofline", 1000): "labels from here on have no decimals",
    ("ranges", 10**9): "no swept number is above this",
    ("search.levers", 2**20): "no batch tried is above this",
    ("render.record", 1024): "the shortest context that `models show` tells the cache of",
}

MAX_LINES = 400


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    """`specs.tree` for llmroof/specs/tree.py; "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@lru_cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(node: ast.AST) -> Iterator[str]:
    """Every module that the source names in an import, at the top or inside a function."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield child.module or ""
            if child.module in ("llmroof", "llmroof.specs"):
                yield from (f"{child.module}.{alias.name}" for alias in child.names)


def layer(module: str) -> int | None:
    """The place of `llmroof.x.y` in LAYERS; None for what is not in the package."""
    first = module.removeprefix("llmroof.").partition(".")[0]
    found = [i for i, names in enumerate(LAYERS) if first in names]
    return found[0] if module.startswith("llmroof.") and found else None


def ids(path: Path) -> str:
    return dotted(path) or "llmroof"


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_data_flows_one_way(path: Path) -> None:
    """No module imports from a layer above its own."""
    name = dotted(path)
    own = layer(f"llmroof.{name}")
    if own is None:
        assert name in ("", "__main__"), f"{name} stands in no layer"
        return
    for target in imports(tree(path)):
        theirs = layer(target)
        above = target.split(".")[1] if theirs is not None and theirs > own else None
        assert above is None or (name, above) in UPWARD, f"{name} imports {target}, a layer above"


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_upward_exceptions_are_not_at_import_time(path: Path) -> None:
    name = dotted(path)
    for node in tree(path).body:
        if isinstance(node, ast.Import | ast.ImportFrom) and name != "__main__":
            tops = {target.split(".")[1] for target in imports(node) if "." in target}
            assert not {(name, top) for top in tops} & set(UPWARD)


def test_every_upward_exception_is_still_needed() -> None:
    used = {
        (dotted(path), target.split(".")[1])
        for path in modules()
        for target in imports(tree(path))
        if target.startswith("llmroof.")
    }
    assert set(UPWARD) <= used


@pytest.mark.parametrize("path", [p for p in modules() if dotted(p).startswith(PURE)], ids=ids)
def test_formulas_touch_no_files_and_no_screen(path: Path) -> None:
    tops = {target.partition(".")[0] for target in imports(tree(path))}
    assert not tops & set(NO_IO)
    calls = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    assert not calls & {"print", "open", "input"}


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_only_the_command_line_prints(path: Path) -> None:
    if dotted(path).startswith(("cli", "__main__")):
        return
    calls = [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert not calls


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_no_module_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES
    assert path.stem not in ("utils", "helpers", "common", "misc")


def public(node: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Public classes and functions of a module, methods of classes included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield inside + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{child.name}.")


@lru_cache
def classes() -> dict[str, ast.ClassDef]:
    """Every class of the package by name."""
    return {
        node.name: node
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    }


def described(name: str) -> bool:
    """True when a class above `name` (`Class.method`) says what its method does."""
    owner, _, method = name.rpartition(".")
    above = [base.id for base in getattr(classes().get(owner), "bases", ()) if hasattr(base, "id")]
    for base in above:
        for node in getattr(classes().get(base), "body", ()):
            if getattr(node, "name", "") == method and ast.get_docstring(node):
                return True
    return any(described(f"{base}.{method}") for base in above)


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_what_is_public_says_what_it_does(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "a module says what it is for"
    silent = [
        name
        for name, node in public(tree(path))
        if not ast.get_docstring(node)
        and not described(name)
        and not isinstance(node, ast.ClassDef)
    ]
    assert not silent


def place(path: Path) -> str:
    """The module; of the readers of config.json their folder, for tables move between them."""
    return "models.hf_config" if "hf_config" in path.parts else dotted(path)


def scales(path: Path) -> set[int]:
    """Numbers in the source that are scales of units, `10**9` and `2**30` included."""
    found = set()
    for node in ast.walk(tree(path)):
        value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            base, power = (getattr(side, "value", None) for side in (node.left, node.right))
            if isinstance(base, int | float) and isinstance(power, int) and power < 100:
                value = base**power
        if isinstance(value, int | float) and value in SCALES:
            found.add(int(value))
    return found


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_scales_of_units_stand_in_one_place(path: Path) -> None:
    if dotted(path) == "units":
        return
    assert not {(place(path), value) for value in scales(path)} - set(NO_SCALES)


def test_every_allowed_literal_is_still_there() -> None:
    present = {(place(path), value) for path in modules() for value in scales(path)}
    assert set(NO_SCALES) <= present
