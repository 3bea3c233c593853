"""What a browser asks: query text -> a request for a page or an estimate, or a refusal.

A server reads no file that a request names: models and GPUs are ids, aliases and hub names
of the specs, or what the server was started with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from llmroof.errors import InputError, printable
from llmroof.ranges import parse_numbers
from llmroof.report.content import Wanted
from llmroof.resolve import deploy
from llmroof.specs import catalog

#: what may be asked for; the others hold for as long as the server runs
NAMES: Final = ("model", "gpu", "precision")
DEGREES: Final = ("tp", "pp", "dp", "ep")
NUMBERS: Final = ("batch", "input_len", "output_len")
#: what nobody says: told among the defaults, as on the command line
_OPEN: Final = {
    name: None for name, value in (deploy.__kwdefaults__ or {}).items() if value is None
}
#: characters of one value, and entries of one list
_LONGEST: Final = 200
_MOST: Final = 8
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


def asked(query: str) -> dict[str, str]:
    """The parameters of a query by name, empty ones left out. InputError for any other."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise InputError("the query is not UTF-8 text, or has too many parts") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in (*NAMES, *DEGREES, *NUMBERS):
            raise InputError(f"unknown parameter '{name[:40]}'")
        if name in found:
            raise InputError(f"{name} is given twice")
        if len(value) > _LONGEST:
            raise InputError(f"{name} is longer than {_LONGEST} characters")
        found[name] = value.strip()
    return {name: value for name, value in found.items() if value}


def page_request(given: Mapping[str, str], start: Wanted) -> Wanted:
    """A page of other models, GPUs or precisions; the rest is as the server was started."""
    if not given:
        return start
    model = _model(given["model"], start) if "model" in given else start.model
    fixed = {name: _number(name, given[name]) for name in DEGREES[1:] if name in given}
    return Wanted(
        model=model,
        gpus=[_gpu(name, start) for name in _list("gpu", given)] or start.gpus,
        precisions=[_name("precision", one) for one in _list("precision", given)] or None,
        degrees=_numbers("tp", given["tp"]) if "tp" in given else None,
        work={**start.work, **_work(given)},
        options={**start.options, **fixed},
    )


def one_question(given: Mapping[str, str], start: Wanted) -> dict[str, Any]:
    """Keywords of `llmroof.estimate` for one question."""
    precision = given.get("precision")
    return {
        **_OPEN,
        **start.options,
        "model": _model(given["model"], start) if "model" in given else start.model,
        "gpu": _gpu(given["gpu"], start) if "gpu" in given else start.gpus[0],
        "precision": None if precision is None else _name("precision", precision),
        **{name: _number(name, given[name]) for name in DEGREES if name in given},
        **start.work,
        **_work(given),
    }


def _work(given: Mapping[str, str]) -> dict[str, int]:
    return {name: _number(name, given[name]) for name in NUMBERS if name in given}


def _model(name: str, start: Wanted) -> str:
    if name == start.model or name.lower() in catalog.MODELS.hub_names():
        return name
    return _name("model", name)


def _gpu(name: str, start: Wanted) -> str:
    return name if name in start.gpus else _name("GPU", name)


def _name(what: str, name: str) -> str:
    """A name and no path: nothing that a request says is looked for among the files."""
    if not _PLAIN.fullmatch(name) or name.endswith(catalog.ENDINGS):
        raise InputError(
            f"'{printable(name)[:80]}' is no name of a {what}: a server takes names, no paths"
        )
    return name


def _list(name: str, given: Mapping[str, str]) -> list[str]:
    parts = [part.strip() for part in given.get(name, "").split(",")]
    found = list(dict.fromkeys(part for part in parts if part))
    if len(found) > _MOST:
        raise InputError(f"{name} takes at most {_MOST} names here, not {len(found)}")
    return found


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        found = parse_numbers(text)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    if len(found) > _MOST:
        raise InputError(f"{name} takes at most {_MOST} numbers here, not {len(found)}")
    return found


def _number(name: str, text: str) -> int:
    found = _numbers(name, text)
    if len(found) != 1:
        raise InputError(f"{name} takes one value, not {len(found)}")
    return found[0]
