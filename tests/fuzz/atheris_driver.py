"""Coverage-guided fuzzing of the readers with atheris (extra `fuzz`), by hand.

python tests/fuzz/atheris_driver.py config_json -runs=100000
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["llmroof"]):
    from fuzz import strategies, targets


def main() -> None:
    """Fuzz the target named first; what follows goes to libFuzzer."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in targets.TARGETS:
        sys.exit(f"name one of {', '.join(targets.TARGETS)}")
    honest = {
        "hardware_yaml": strategies.hardware,
        "model_yaml": strategies.models,
        "config_json": strategies.configs,
        "measured_csv": strategies.rows,
        "baseline_csv": strategies.baselines,
        "scenarios_yaml": strategies.scenarios,
    }[name]
    seeds = targets.FOLDER / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    for i, text in enumerate(honest()):
        (seeds / f"{i}").write_text(text, "utf-8")
    atheris.Setup([*sys.argv, str(seeds)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
