"""Options of the commands that make a page: several GPUs, precisions and plans to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from llmroof.cli.options import QUESTION, WORKLOAD, Command, asking, single
from llmroof.cli.types import Numbers

if TYPE_CHECKING:
    from llmroof.report.content import Wanted

#: what a page cannot vary or has choices of its own for
_LEFT_OUT: Final = ("num_gpus", "routing_skew")
_DEGREES: Final = click.option(
    "--tensor-parallel-size",
    "-tp",
    "--tp",
    "tp",
    type=Numbers(),
    metavar="N",
    help="Tensor parallel degrees to choose from: 1,2,4.  [default: 1, 2, 4 ... up to 8]",
)


def page_question(command: Command) -> Command:
    """As `question`; --gpu, --precision and -tp give the choices of the page."""
    options = {name: option for name, option in QUESTION.items() if name not in _LEFT_OUT}
    return asking(command, options | {"tp": _DEGREES})


def wanted(asked: dict[str, Any]) -> Wanted:
    """The options as a request for a page."""
    from llmroof.report.content import Wanted

    plain = single(asked, "a page")
    own = ("model", "gpu", "precision", "tp", *WORKLOAD)
    return Wanted(
        model=asked["model"],
        gpus=_several(asked["gpu"]) or [None],
        precisions=_several(asked["precision"]) or None,
        degrees=asked["tp"],
        work={name: plain[name] for name in WORKLOAD if name in plain},
        options={k: v for k, v in asked.items() if k not in own and v is not None},
    )


def _several(names: str | None) -> list[str]:
    """`a100,h100` as a list, each once; empty where nothing is named."""
    parts = [name.strip() for name in (names or "").split(",")]
    return list(dict.fromkeys(name for name in parts if name))
