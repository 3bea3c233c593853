"""`llmroof measure`: this device under a stopwatch, kernel by kernel or with a whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from llmroof.cli.progress import progress
from llmroof.cli.types import COUNT, ChartFile, Numbers, Within

_DEVICE = click.option("--device", default="", help="cuda, mps or cpu.  [default: the best here]")
_THREADS = click.option(
    "--threads", type=COUNT, help="Threads of a processor.  [default: all cores]"
)
_SPREAD = click.option(
    "--max-spread",
    type=Within(0.0, 999.0),
    default=0.10,
    show_default=True,
    help="Refuse the run where readings spread by more than this part of their median.",
)
_FORCE = click.option("--force", is_flag=True, help="Overwrite files that exist.")


@click.group("measure", invoke_without_command=True)
@click.option(
    "--output", "-o", metavar="FILE", help="Profile to write: a YAML.  [default: measured.yaml]"
)
@click.option("--plot", type=ChartFile(), metavar="FILE", help="Empirical roofline chart.")
@click.option("--points", metavar="FILE", help="Every kernel that was timed: .csv or .json.")
@click.option("--precision", metavar="A,B", help="Arithmetics: fp32,bf16,fp16,fp8.")
@click.option(
    "--sweep",
    type=click.Choice(["cpu", "gpu", "quick"]),
    help="Sizes to time; quick tests the plumbing.  [default: by the device]",
)
@_DEVICE
@_THREADS
@_SPREAD
@_FORCE
@click.pass_context
def command(
    ctx: click.Context,
    output: str | None,
    plot: str | None,
    points: str | None,
    precision: str | None,
    sweep: str | None,
    device: str,
    threads: int | None,
    max_spread: float,
    force: bool,
) -> None:
    """Time this device: FLOP/s, bandwidth, launches, sums over GPUs; write its profile.

    The profile extends the datasheet that the device's name is known by; --gpu FILE then
    predicts with what was measured. Needs PyTorch: pip install 'llmroof[measure]'.
    """
    if ctx.invoked_subcommand is not None:
        return
    from llmroof.cli.output import check_writable, write_file
    from llmroof.measure.cases import SWEEPS
    from llmroof.measure.match import matching
    from llmroof.measure.profile import measure_profile
    from llmroof.measure.torch_backend import TorchBackend
    from llmroof.measure.torch_collective import sums_of
    from llmroof.measure.write import profile_yaml
    from llmroof.render.measurement import profile_document, profile_page, profile_rows
    from llmroof.render.page import screen_width, to_text
    from llmroof.render.table import to_csv, to_json
    from llmroof.specs.catalog import HARDWARE
    from llmroof.specs.hardware import load_hardware

    path = Path(output or "measured.yaml")
    for name in (path, plot, points):
        if name is not None:
            check_writable(Path(name), force=force)
    backend = TorchBackend(device, threads)
    with progress("kernels") as told:
        found = measure_profile(
            backend,
            precisions=_names(precision),
            sweep=SWEEPS[sweep] if sweep else None,
            max_spread=max_spread,
            sums=sums_of(backend),
            progress=told,
        )
    base = matching(found.device, (load_hardware(name) for name in HARDWARE.files()))
    write_file(path, profile_yaml(found, base).encode("utf-8"), force=force)
    matched = base.name if base else None
    click.echo(to_text(profile_page(found, matched), screen_width()), nl=False)
    click.echo(f"wrote {path}", err=True)
    if points is not None:
        json = points.lower().endswith(".json")
        text = to_json(profile_document(found, matched)) if json else to_csv(profile_rows(found))
        write_file(Path(points), text.encode("utf-8"), force=force)
        click.echo(f"wrote {points}", err=True)
    if plot is not None:
        from llmroof.render.plots.measured import draw_profile

        draw_profile(load_hardware(str(path)), Path(plot))
        click.echo(f"wrote {plot}", err=True)


@command.command("model")
@click.option("--model", required=True, metavar="M", help="Model spec, config.json or its folder.")
@click.option(
    "--output", "-o", metavar="FILE", required=True, help="Rows to write: a CSV for validate."
)
@click.option(
    "--gpu",
    "hardware",
    default="measured.yaml",
    show_default=True,
    metavar="G",
    help="What the rows call the device: an id, or the measured profile.",
)
@click.option(
    "--batch", "-b", type=Numbers(), default="1,4,16", show_default=True, help="Sequences together."
)
@click.option(
    "--context",
    type=Numbers(),
    default="128,512,2048",
    show_default=True,
    help="Tokens of a prompt, and behind a decode step.",
)
@click.option(
    "--precision",
    metavar="A,B",
    default="bf16",
    show_default=True,
    help="Number formats, one run of the grid each.",
)
@click.option("--layers", type=COUNT, help="Build so many layers, and no more.")
@click.option(
    "--longest-prefill",
    type=COUNT,
    metavar="TOKENS",
    help="Leave out prefill passes of more tokens (batch x context).",
)
@_DEVICE
@_THREADS
@_SPREAD
@_FORCE
def model_command(
    model: str,
    output: str,
    hardware: str,
    batch: Any,
    context: Any,
    precision: str,
    layers: int | None,
    longest_prefill: int | None,
    device: str,
    threads: int | None,
    max_spread: float,
    force: bool,
) -> None:
    """Time prefill and decode of a MODEL with random weights; write rows for validate.

    Nothing is downloaded. A model that does not fit is built at two depths and extrapolated
    by the difference of a layer; the rows say so.
    """
    from llmroof.cli.output import check_writable, write_file
    from llmroof.measure.model_run import measure_model, rows_csv
    from llmroof.measure.torch_backend import TorchBackend
    from llmroof.measure.torch_decoder import require_kinds
    from llmroof.measure.torch_runner import TorchRunner
    from llmroof.models.load import load_model

    path = Path(output)
    check_writable(path, force=force)
    precisions = _names(precision)
    _require_device(hardware)
    asked = load_model(model)
    require_kinds(asked)
    runner = TorchRunner(TorchBackend(device, threads))
    rows: list[dict[str, Any]] = []
    for name in precisions:
        with progress(f"passes in {name}") as told:
            rows += measure_model(
                runner,
                asked,
                name=model,
                hardware=hardware,
                precision=name,
                batches=[int(value) for value in batch],
                contexts=[int(value) for value in context],
                layers=layers,
                max_spread=max_spread,
                longest_prefill=longest_prefill,
                progress=told,
            )
    write_file(path, rows_csv(rows).encode("utf-8"), force=force)
    click.echo(f"wrote {len(rows)} rows to {path}: llmroof validate {path}", err=True)


def _require_device(name: str) -> None:
    """Nothing is timed for rows whose device validate could not look up."""
    from llmroof.errors import InputError
    from llmroof.specs.hardware import load_hardware

    try:
        load_hardware(name)
    except InputError as error:
        raise InputError(f"--gpu: {error}; llmroof measure writes it") from None


def _names(text: str | None) -> list[str]:
    """Precisions of a list; InputError for one that nothing multiplies in."""
    from llmroof.errors import InputError
    from llmroof.measure.cases import WIDTH

    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    for name in names:
        if name not in WIDTH:
            raise InputError(f"--precision: '{name[:40]}' is none of {', '.join(WIDTH)}")
    return names
