"""Entry point: a group that loads commands on use and turns every fault into one line.

Exit codes: 0 answered; 1 answered, and the answer is no; 2 it cannot be answered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import click

from llmroof import __version__
from llmroof.errors import LlmroofError, UnknownName

#: command -> module that defines it as `command`; the order is that of `--help`
COMMANDS: Final = {
    "estimate": "llmroof.cli.commands.estimate",
    "layers": "llmroof.cli.commands.layers",
    "kv": "llmroof.cli.commands.kv",
    "explain": "llmroof.cli.commands.explain",
    "plot": "llmroof.cli.commands.plot",
    "report": "llmroof.cli.commands.report",
    "serve": "llmroof.cli.commands.serve",
    "sweep": "llmroof.cli.commands.sweep",
    "recommend": "llmroof.cli.commands.recommend",
    "advise": "llmroof.cli.commands.advise",
    "compare": "llmroof.cli.commands.compare",
    "validate": "llmroof.cli.commands.validate",
    "measure": "llmroof.cli.commands.measure",
    "calibrate": "llmroof.cli.commands.calibrate",
    "check": "llmroof.cli.commands.check",
    "gpus": "llmroof.cli.commands.gpus",
    "models": "llmroof.cli.commands.models",
}
_INTERRUPTED: Final = 130
#: what other programs call an option -> what it is called here
FOREIGN: Final = {
    "--dtype": "--precision",
    "--quantization": "--precision",
    "--max-model-len": "--input-len and --output-len",
    "--context-length": "--input-len and --output-len",
    "--seq-len": "--input-len and --output-len",
    "--tp-size": "--tp",
    "--pp-size": "--pp",
    "--dp-size": "--dp",
    "--ep-size": "--ep",
    "--mem-fraction-static": "--gpu-memory-utilization",
    "--max-running-requests": "--max-num-seqs",
    "--chunked-prefill-size": "--max-num-batched-tokens",
    "--qps": "--request-rate",
    "--rps": "--request-rate",
    "--max-concurrency": "--concurrency",
    "--bs": "--batch",
}


class ReaderGone(Exception):
    """`llmroof ... | head`: the reader has what it wanted.

    No OSError, which click would end with exit code 1.
    """


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; imports its module."""
        if cmd_name not in COMMANDS:
            return None
        try:
            command = import_module(COMMANDS[cmd_name]).command
        except ImportError as error:
            if os.environ.get("LLMROOF_DEBUG"):
                raise
            return _broken(cmd_name, error)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown name tells the nearest one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownName("command", args[0], COMMANDS, "llmroof --help")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; ReaderGone where nobody reads what it writes."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit. A fault becomes `Error: ...` on stderr and exit code 2."""
        if sys.stdout is None:  # started with standard output closed: nobody reads it
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        try:
            code = super().main(args, prog_name or "llmroof", complete_var, False, **extra)
            sys.stdout.flush()
        except click.NoSuchOption as error:
            ours = FOREIGN.get(error.option_name)
            hint = f"No such option '{error.option_name}': here it is {ours}."
            code = _fail(hint if ours else error.format_message(), 2)
        except click.ClickException as error:
            code = _fail(error.format_message(), 2)
        except LlmroofError as error:
            code = _fail(str(error), error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            code = _fail("interrupted", _INTERRUPTED)
        except (BrokenPipeError, ReaderGone):
            _silence(sys.stdout)
            code = 0
        except Exception as error:  # last resort: no traceback ever reaches a user
            if os.environ.get("LLMROOF_DEBUG"):
                raise
            code = _fail(_unexpected(error), 2)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="llmroof")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Roofline calculator for LLM inference: latency, throughput, memory and cost.

    \b
    llmroof estimate --gpu a100 --batch 32
    llmroof explain --model llama-3.1-70b --gpu h100 -tp 4 --precision fp8
    """  # noqa: D301 - click reads the control character
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _broken(name: str, error: ImportError) -> click.Command:
    """A command whose module cannot be loaded: listed, and refused when it is run."""

    def refuse(**_: Any) -> None:
        raise click.ClickException(f"{name} cannot be loaded: {error}")

    return click.Command(
        name,
        callback=refuse,
        context_settings={"ignore_unknown_options": True},
        params=[click.Argument(["rest"], nargs=-1)],
        help="(cannot be loaded)",
    )


def main() -> None:
    """The `llmroof` console script."""
    cli.main()


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    with suppress(OSError, UnicodeError):  # where nobody can read it, the code has to do
        click.echo(f"Error: {line}", err=True)
    _silence(sys.stdout)
    return code


def _silence(stream: Any) -> None:
    """Let the interpreter's last flush of a broken stream go nowhere."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError):
        what = f"cannot read or write '{error.filename}'" if error.filename else "cannot write"
        return f"{what}: {error.strerror or error}"
    kind = type(error).__name__
    return f"unexpected {kind}: {error} (LLMROOF_DEBUG=1 shows where; please report it)"
