"""Passes of a decoder by PyTorch: replayed from CUDA graphs where there are any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from llmroof.measure.model_run import Pass
from llmroof.measure.timing import Effort, time_kernel
from llmroof.measure.torch_backend import TorchBackend
from llmroof.measure.torch_decoder import Decoder, families
from llmroof.models.model import Model

if TYPE_CHECKING:
    import torch

#: a pass is read often where it is short, and at least so often where it takes seconds
_EFFORT: Final = Effort(least=0.0, budget=0.8, warm=0.0, fewest=3, most=25)
#: watched passes, of which the quickest tells the families apart
_WATCHED: Final = 3


class TorchRunner:
    """Builds and times decoders on the device of a backend."""

    def __init__(self, backend: TorchBackend, effort: Effort = _EFFORT) -> None:
        self.backend, self.effort = backend, effort
        self.decoder: Decoder | None = None

    @property
    def memory(self) -> float:
        """Bytes of the device."""
        return self.backend.device.memory

    @property
    def method(self) -> str:
        """What ran."""
        graphs = ", CUDA graphs" if self.backend.where.type == "cuda" else ""
        version = self.backend.versions["torch"]
        return f"llmroof measure model, PyTorch {version}, SDPA{graphs}, random weights"

    def build(self, model: Model, precision: str, layers: int) -> None:
        """A decoder in place of the one before."""
        self.decoder = None
        self._empty()
        where = self.backend.where
        self.decoder = Decoder(model, precision, where, layers, self.backend.wait)

    def prefill(self, batch: int, context: int) -> Pass | None:
        """A prompt of `context` tokens per sequence."""
        return self._pass(batch, context, context, 0)

    def decode(self, batch: int, context: int) -> Pass | None:
        """One new token per sequence behind `context` tokens."""
        return self._pass(batch, context + 1, 1, context)

    def _pass(self, batch: int, capacity: int, new: int, past: int) -> Pass | None:
        import torch

        decoder = self.decoder
        assert decoder is not None
        try:
            decoder.allot(batch, capacity)
            shape = (batch, new)
            tokens = torch.randint(decoder.table.shape[0], shape, device=self.backend.where)
            run = self._runs(decoder, tokens, past)
            told = self._families(decoder, tokens, past)
            timed = time_kernel(run, self.backend.clock, self.effort)
        except RuntimeError as error:
            if "memory" not in str(error).lower():
                raise
            self._empty()
            return None
        finally:
            decoder.caches = []
        return Pass(timed, families(told, timed.seconds))

    def _runs(self, decoder: Decoder, tokens: torch.Tensor, past: int) -> Callable[[int], None]:
        """The pass, eager; or captured once and replayed."""
        import torch

        backend = self.backend
        if backend.where.type != "cuda":

            def eager(repeat: int) -> None:
                for _ in range(repeat):
                    decoder(tokens, past)
                backend.wait()

            return eager
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                decoder(tokens, past)
        torch.cuda.current_stream().wait_stream(side)
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            decoder(tokens, past)

        def replay(repeat: int) -> None:
            for _ in range(repeat):
                graph.replay()
            backend.wait()

        return replay

    def _families(self, decoder: Decoder, tokens: torch.Tensor, past: int) -> dict[str, float]:
        """Seconds by family of the quickest of a few watched passes, launched one by one."""
        watch = decoder.watch
        best: dict[str, float] = {}
        for _ in range(_WATCHED):
            watch.on, watch.seconds = True, {}
            decoder(tokens, past)
            watch.on = False
            if not best or sum(watch.seconds.values()) < sum(best.values()):
                best = watch.seconds
            if sum(best.values()) > self.effort.budget:
                break
        return best

    def _empty(self) -> None:
        import torch

        if self.backend.where.type == "cuda":
            torch.cuda.empty_cache()
