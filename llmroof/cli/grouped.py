"""`--help` in groups: the options of a question by what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

#: heading -> the names of its options; what stands nowhere is about the answer
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Model and hardware": ("model", "gpu", "specs", "price", "power"),
    "Workload": (
        *("batch", "input_len", "output_len", "concurrency", "request_rate", "load"),
        *("random_lengths", "contexts"),
    ),
    "Targets": ("slo_ttft", "slo_tpot", "max_gpus", "objective"),
    "Precision": ("precision", "weights", "activations", "kv_cache_dtype"),
    "Parallelism": ("num_gpus", "tp", "pp", "dp", "ep", "all_reduce"),
    "Disaggregated prefill and decode": (
        *("disaggregated", "prefill_workers", "decode_workers"),
        *("prefill_tp", "prefill_pp", "prefill_dp", "prefill_ep"),
        *("transfer_bandwidth", "transfer_overlap"),
    ),
    "Serving engine": (
        *("engine", "gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens"),
    ),
    "Optimisations": (
        *("attention", "fusion", "no_kv_cache", "prefix_hit_rate", "chunked_prefill"),
        *("speculative_tokens", "acceptance_rate", "draft_model", "routing_skew"),
    ),
}
_REST: Final = "Answer"


class Listing(click.Group):
    """A group that lists things where no command is named; the name of a thing is no command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown name says how a thing of that name is shown."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            own = ", ".join(self.list_commands(ctx))
            raise click.UsageError(
                f"'{args[0][:60]}' is no command of {self.name} ({own}): alone it lists all, "
                f"llmroof {self.name} show NAME shows one"
            )
        return super().resolve_command(ctx, args)


class Grouped(click.Command):
    """A command whose `--help` lists its options under the headings of GROUPS."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list per heading that has options here, in the order of the options."""
        place = {name: heading for heading, names in GROUPS.items() for name in names}
        found: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*GROUPS, _REST)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                found[place.get(parameter.name or "", _REST)].append(record)
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
