"""One look for every chart: colours, marks, type, and how a figure becomes a file.

A GPU has the same colour and mark in every chart; a phase has its marker, a precision its line
style, so that nothing hangs on colour alone. Sizes are chosen for a figure shown
`WIDTH` · 80 pixels wide, as a README shows it.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llmroof.errors import InputError
from llmroof.render.plots import families

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: inches; at `DPI` the picture is 1600 pixels wide, twice what a README shows
WIDTH: Final = 10.0
HEIGHT: Final = 6.6
DPI: Final = 160

#: Okabe & Ito 2008, "Color Universal Design", without yellow (too pale for a line on
#: white): told apart with every common colour vision
PALETTE: Final = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "black": "#333333",
}
#: ink of text and axes, of secondary text, and of helping lines
INK: Final = "#222222"
MUTED: Final = "#5F6368"
FAINT: Final = "#B9BEC4"
#: what lies left of the ridge, between the ridges of several roofs, and right of them
MEMORY_SIDE: Final = "#E6F0F8"
BETWEEN: Final = "#F1F1F1"
COMPUTE_SIDE: Final = "#FCF0E0"

#: points: area in pt² of a phase where a chart has one, a few or many series, and of an
#: operator that takes the whole phase
PHASE_AREAS: Final = (130.0, 84.0, 58.0)
OPERATOR_AREA: Final = 260.0
SMALLEST_AREA: Final = 9.0
MARKERS: Final = {"prefill": "s", "decode": "o"}
#: line styles that stay apart in grey, in the order in which precisions appear
DASHES: Final[Sequence[Any]] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))

TITLE_SIZE: Final = 12.5
TEXT_SIZE: Final = 10.5
SMALL_SIZE: Final = 9.5

_RC: Final[Mapping[str, Any]] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same letters everywhere
    "font.size": TEXT_SIZE,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT_SIZE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": TEXT_SIZE,
    "ytick.labelsize": TEXT_SIZE,
    "legend.fontsize": SMALL_SIZE,
    "legend.frameon": False,
    "path.simplify": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "llmroof",
    "text.usetex": False,
}
#: metadata without a date, so that the same chart is the same file
_METADATA: Final[Mapping[str, dict[str, Any]]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None, "ModDate": None},
}


@contextmanager
def look() -> Iterator[None]:
    """The charts' settings of matplotlib and none of the user's, undone at the end."""
    import matplotlib
    from matplotlib import RcParams

    base = {
        name: value
        for name, value in matplotlib.rcParamsDefault.items()
        if not name.startswith(("backend", "interactive", "toolbar", "webagg", "datapath"))
    }
    with matplotlib.rc_context(RcParams({**base, **_RC})):
        yield


def colors(ids: Sequence[str]) -> dict[str, str]:
    """The colour of each GPU id, the same in every chart (`families`).

    Ids without a family take a colour of the palette by their name, and differ within a
    chart while it lasts.
    """
    chosen: dict[str, str] = {}
    names = list(PALETTE)
    for gpu in dict.fromkeys(ids):
        known = families.place(gpu)
        if known is not None:
            hue, tint = known[0], families.TINTS[known[1] % len(families.TINTS)]
            chosen[gpu] = mix(hue, "#FFFFFF" if tint > 0 else "#000000", abs(tint)) if tint else hue
            continue
        start = zlib.crc32(gpu.encode()) % len(names)
        order = [PALETTE[name] for name in names[start:] + names[:start]]
        chosen[gpu] = next((color for color in order if color not in chosen.values()), order[0])
    return chosen


def mark(gpu: str) -> str:
    """The mark of a GPU's points, which sets it apart within its family."""
    known = families.place(gpu)
    return families.MARKS[0 if known is None else known[1] % len(families.MARKS)]


def mix(color: str, other: str, part: float) -> str:
    """`color` with `part` of `other` in it; both as #RRGGBB."""
    pairs = zip(*(bytes.fromhex(text[1:]) for text in (color, other)), strict=True)
    return "#" + "".join(f"{round((1 - part) * a + part * b):02x}" for a, b in pairs)


def shades(color: str, many: int) -> list[str]:
    """`many` shades of one colour, from itself to darker: series that share a GPU."""
    darkest = min(0.34 * (many - 1), 0.66)
    return [mix(color, "#000000", darkest * index / max(many - 1, 1)) for index in range(many)]


def text_color(color: str) -> str:
    """`color` dark enough to be read as letters on white."""
    return mix(color, "#000000", 0.34)


def check_path(path: Path) -> str:
    """The file type by its ending; InputError when it is none that charts have."""
    ending = path.suffix.lower()
    if ending not in _METADATA:
        raise InputError(f"a chart is written as {', '.join(_METADATA)}, not as '{path.name[:80]}'")
    return ending


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the type of the path's ending, whole or not at all.

    The same figure gives the same bytes. Raises InputError.
    """
    ending = check_path(path)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending[1:], dpi=DPI, metadata=_METADATA[ending])
    path = path.resolve()  # a link stays, what it names is replaced
    draft = path.with_name(f".{path.name[:40]}.{os.getpid()}")
    try:
        try:
            with draft.open("xb") as stream:
                stream.write(buffer.getvalue())
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None
