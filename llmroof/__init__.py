"""llmroof: the roofline calculator for LLM inference.

`llmroof.estimate(model=..., gpu=..., batch=...)` answers one question or an array of
them; names are imported on first use, so that `import llmroof` costs nothing.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "estimate": "llmroof.api",
    "sweep": "llmroof.search.frames",
    "recommend": "llmroof.search.recommend",
    "advise": "llmroof.search.frames",
    "compare": "llmroof.search.frames",
    "deploy": "llmroof.api",
    "validate": "llmroof.evidence.validate",
    "calibrate": "llmroof.evidence.calibrate",
    "Estimate": "llmroof.engine.estimate",
    "Hardware": "llmroof.specs.hardware",
    "LlmroofError": "llmroof.errors",
    "Model": "llmroof.models.model",
    "load_hardware": "llmroof.specs.hardware",
    "load_model": "llmroof.models.load",
}
__all__ = [  # noqa: PLE0604 (names of strings, all of them)
    "__version__",
    *_EXPORTS,
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'llmroof' has no attribute '{name}'")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_EXPORTS[name]), name)  # asked for once
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
