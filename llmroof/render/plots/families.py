"""One colour and one mark for each GPU, the same in every chart.

A family of GPUs has a hue, its members have tints of it and marks of their own: what is
compared most often differs in hue, and nothing hangs on hue alone. The hues are those of
Okabe & Ito 2008, "Color Universal Design", and six more between them.
"""

from __future__ import annotations

from typing import Final

#: hue -> ids of its GPUs, the purest first
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "#0072B2": ("a100-sxm-80gb", "a100-pcie-80gb", "a100-sxm-40gb", "a800-sxm-80gb",
                "a100-pcie-40gb", "a30", "a40"),
    "#D55E00": ("h100-sxm", "h100-pcie", "h100-nvl", "h800-sxm", "h20"),
    "#CC79A7": ("h200-sxm", "gh200-96gb", "h200-nvl", "gh200-144gb"),
    "#009E73": ("b200-sxm", "gb200", "b300-sxm", "gb300"),
    "#E69F00": ("mi300x", "mi355x", "mi325x", "mi250x", "mi350x", "mi210", "rx-7900-xtx"),
    "#56B4E9": ("l40s", "l4", "l40", "rtx-4090", "rtx-6000-ada", "a10", "a10g"),
    "#7CB518": ("rtx-5090", "rtx-3090", "rtx-pro-6000-server", "rtx-a6000"),
    "#333333": ("t4", "v100-sxm2-32gb", "v100-sxm2-16gb"),
    "#9C4DCC": ("tpu-v6e", "tpu-v7", "tpu-v5p", "tpu-v5e", "tpu-v4"),
    "#5B4BA3": ("trainium2", "trainium3", "inferentia2", "trainium1"),
    "#A6194B": ("gaudi3", "max-1550", "gaudi2", "arc-b580", "arc-pro-b60"),
    "#7F8790": ("apple-m4-max", "apple-m3-ultra", "apple-m3-max", "apple-m2-ultra", "apple-m2-max",
                "apple-m1-ultra", "apple-m1-max"),
    "#3F7F7F": ("epyc-9755", "xeon-6980p", "epyc-9654", "xeon-8480plus"),
}  # fmt: skip
#: tint of a member by its place: black (below zero) or white that is mixed in
TINTS: Final = (0.0, -0.42, 0.42, -0.65, 0.62, -0.22, 0.22)
#: mark of a member by its place
MARKS: Final = ("o", "s", "^", "D", "v", "P", "X")

_PLACES: Final = {
    gpu: (hue, place) for hue, gpus in FAMILIES.items() for place, gpu in enumerate(gpus)
}


def place(gpu: str) -> tuple[str, int] | None:
    """(hue, place in its family) of a GPU; None for one that has no family."""
    return _PLACES.get(gpu)
