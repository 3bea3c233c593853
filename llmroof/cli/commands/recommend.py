"""`llmroof recommend`: the deployment to buy for a target, and how to start it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmroof.cli.axes import Names, SpecNames, joined
from llmroof.cli.grouped import Grouped
from llmroof.cli.options import output, specs_option
from llmroof.cli.types import COUNT, NUMBER, ChartFile, Seconds, SpecName, Within

if TYPE_CHECKING:
    from llmroof.cli.output import Target

_RATE = Within(min=0, min_open=True)


@click.command("recommend", cls=Grouped)
@click.option("--model", "-m", type=SpecName("model"), metavar="MODEL", help="Model to serve.")
@click.option("--input-len", "--isl", type=COUNT, metavar="N", help="Prompt tokens.")
@click.option("--output-len", "--osl", type=COUNT, metavar="N", help="Generated tokens.")
@click.option(
    "--slo-ttft", type=Seconds(), metavar="TIME", help="Mean TTFT to stay below: 0.5 or 500ms."
)
@click.option(
    "--slo-tpot", type=Seconds(), metavar="TIME", help="Mean TPOT to stay below: 0.03 or 30ms."
)
@click.option(
    "--request-rate", "-r", type=_RATE, metavar="RATE", help="Requests per second to carry."
)
@click.option(
    "--concurrency",
    "-c",
    type=COUNT,
    metavar="N",
    help="Requests in flight to carry.",
)
@click.option(
    "--max-gpus",
    type=COUNT,
    default=16,
    show_default=True,
    metavar="N",
    help="GPUs in all, replicas included.",
)
@click.option(
    "--objective",
    type=click.Choice(["cost", "throughput", "latency", "energy"]),
    default="cost",
    show_default=True,
    help="What the best has least of (of throughput per GPU: most).",
)
@click.option(
    "--gpu", "--hardware", "-g", type=SpecNames("gpu"), metavar="LIST", multiple=True,
    help="GPUs to choose from.  [default: all]",
)  # fmt: skip
@click.option(
    "--precision", "-p", type=Names(), metavar="LIST", multiple=True,
    help="Precisions to choose from.  [default: as stored, fp8, w4a16, nvfp4]",
)  # fmt: skip
@click.option("--kv-cache-dtype", metavar="FORMAT", help="Number format of the KV cache.")
@click.option(
    "--tp", "-tp", "--tensor-parallel-size", type=COUNT, metavar="N", help="Only this tp."
)
@click.option(
    "--pp", "-pp", "--pipeline-parallel-size", type=COUNT, metavar="N", help="Only this pp."
)
@click.option("--dp", "-dp", "--data-parallel-size", type=COUNT, metavar="N", help="Only this dp.")
@click.option(
    "--ep", "-ep", "--expert-parallel-size", type=COUNT, metavar="N", help="Only this ep."
)
@click.option("--engine", metavar="NAME", help="Serving engine whose rules apply.")
@click.option("--price", type=NUMBER, metavar="USD", help="USD per GPU-hour, of every GPU.")
@click.option("--power", type=NUMBER, metavar="WATTS", help="Power of one GPU, of every GPU.")
@click.option(
    "--prefix-hit-rate", type=NUMBER, metavar="SHARE", help="Share of prompts in the cache."
)
@click.option(
    "--gpu-memory-utilization", type=NUMBER, metavar="SHARE", help="Share of memory to use."
)
@click.option("--max-num-seqs", type=COUNT, metavar="N", help="Sequences at once.")
@click.option(
    "--max-num-batched-tokens",
    type=COUNT,
    metavar="N",
    help="Prompt tokens a step.",
)
@click.option("--limit", is_flag=True, help="Judge by the physical limit.")
@click.option(
    "--count", type=COUNT, default=3, show_default=True, metavar="N",
    help="Options to show, the best of as many GPUs.",
)  # fmt: skip
@click.option(
    "--plot",
    type=ChartFile(),
    metavar="FILE",
    help="Cost against latency of the options at every load: .png, .svg, .pdf.",
)
@specs_option
@output()
def command(target: Target, plot: str | None, **asked: Any) -> int:
    """The best deployments that meet latency targets, searched over everything.

    GPUs, how many, how the model is split, precision and load; what binds each, the
    fleet for a request rate, its cost, and the command to start it. Exit code 1 when
    nothing meets the targets; the answer is then the nearest miss and its reason.
    """
    from llmroof.cli.output import check_chart
    from llmroof.search.recommend import recommend

    check_chart(plot, force=target.force)
    asked |= {name: joined(asked[name]) for name in ("gpu", "precision")}
    given = {name: value for name, value in asked.items() if value is not None}
    answer = recommend(**given)

    def page() -> Any:
        from llmroof.render.recommend import recommend_page

        return recommend_page(answer)

    def document() -> Any:
        from llmroof.render.recommend import recommend_document

        return recommend_document(answer)

    def rows() -> Any:
        from llmroof.render.recommend import recommend_rows

        return recommend_rows(answer)

    target.show(page, document, rows)
    if plot is not None and answer.options:
        from pathlib import Path

        from llmroof.render.plots.frontier import draw
        from llmroof.render.recommend import curve_rows

        draw(curve_rows(answer), Path(plot), cost=True)
        click.echo(f"wrote {plot}", err=True)
    return 0 if answer.options else 1
