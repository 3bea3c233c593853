"""A config.json as a reader sees it: typed look-ups that name file and key when they fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from llmroof.errors import Problem, SpecError
from llmroof.models.model import MOST_LAYERS

#: no dimension of a model that exists is larger (vocabularies below 1e6, n-gram tables 1e9)
LARGEST: Final = 2**31

#: widths are multiples of others (expansion of Mamba, of an FFN): 1 to 16 in what exists
LARGEST_FACTOR: Final = 500

#: the same thing under the names that architectures give it
LAYERS: Final = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_transformer_layers",
)
HIDDEN: Final = ("hidden_size", "n_embd", "d_model", "n_embed", "model_dim")
HEADS: Final = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
KV_HEADS: Final = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads")
FFN: Final = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "dff")
EXPERTS: Final = (
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "num_routed_experts",
    "moe_num_experts",
)
TOP_K: Final = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "moe_topk",
    "moe_top_k",
    "moe_k",
    "top_k_experts",
)
CONTEXT: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
)
#: Cohere writes the context that it serves here, beside the positions of pre-training
LIMIT: Final = "model_max_length"

_REQUIRED: Final = object()


@dataclass(slots=True)
class Config:
    """One table of a config file; `where` is the key under which it stands ("" for the file)."""

    values: Mapping[str, Any]
    file: str
    where: str = ""
    assumed: list[str] = field(default_factory=list)

    def fault(self, key: str, message: str) -> NoReturn:
        """Raise SpecError about a key of this table."""
        path = f"{self.where}.{key}" if self.where else key
        raise SpecError([Problem(self.file, 0, path, message)])

    def has(self, *names: str) -> bool:
        """True when one of the keys stands here with a value."""
        return any(self.values.get(name) is not None for name in names)

    def filled(self, defaults: Mapping[str, int]) -> Config:
        """The same with the architecture's own values for absent keys, and a note of it.

        A key that stands with null is not absent: null may mean none (`q_lora_rank`).
        """
        missing = {key: value for key, value in defaults.items() if key not in self.values}
        if not missing:
            return self
        stated = ", ".join(f"{key} {value}" for key, value in missing.items())
        place = self.where or "the config"
        self.assumed.append(f"left out in {place} and taken from the architecture: {stated}")
        return Config({**self.values, **missing}, self.file, self.where, self.assumed)

    def get(self, *names: str) -> Any:
        """The first value that is not null under one of `names`, else None."""
        return next((self.values[n] for n in names if self.values.get(n) is not None), None)

    def name_of(self, *names: str) -> str:
        """Under which of `names` the value stands (the first when under none)."""
        return next((n for n in names if self.values.get(n) is not None), names[0])

    def size(self, *names: str, default: Any = _REQUIRED, low: int = 1, meaning: str = "") -> int:
        """A whole number from `low` up; `default` when no key of `names` has a value."""
        value = self.get(*names)
        if value is None:
            if default is _REQUIRED:
                what = f": {meaning}" if meaning else ""
                self.fault(names[0], f"is missing{what}; the architecture is not known without it")
            return default  # type: ignore[no-any-return]
        return self.whole(self.name_of(*names), value, low)

    def whole(self, key: str, value: Any, low: int = 1) -> int:
        """`value` as a whole number within bounds, or a fault about `key`."""
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole:
            self.fault(key, f"must be a whole number, not {_show(value)}")
        if not low <= value <= LARGEST:
            self.fault(key, f"must be {low} to {LARGEST}, not {_show(value)}")
        return int(value)

    def optional(self, *names: str, low: int = 1) -> int | None:
        """A whole number, or None when no key of `names` has a value."""
        return self.size(*names, low=low) if self.has(*names) else None

    def factor(self, name: str, default: float) -> float:
        """A factor: a finite number above zero, and no more than LARGEST_FACTOR."""
        value = self.get(name)
        if value is None:
            return default
        real = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not real or not 0 < value <= LARGEST_FACTOR:
            self.fault(name, f"must be a number from 0 to {LARGEST_FACTOR}, not {_show(value)}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false; null is false, an absent key the default."""
        value = self.get(name)
        if value is None:
            return default and name not in self.values
        if not isinstance(value, bool):
            self.fault(name, f"must be true or false, not {_show(value)}")
        return bool(value)

    def table(self, name: str) -> Config:
        """A table within this one; an empty one when it is absent."""
        value = self.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.fault(name, f"must be a table, not {_show(value)}")
        where = f"{self.where}.{name}" if self.where else name
        return Config(value or {}, self.file, where, self.assumed)

    def sequence(self, name: str, length: int | None = None) -> Sequence[Any] | None:
        """A list, of `length` items when that is given; None when absent."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.fault(name, f"must be a list, not {_show(value)}")
        if length is not None and len(value) < length:
            self.fault(name, f"has {len(value)} entries for {length} layers")
        return value if length is None else value[:length]

    def numbers(self, name: str, length: int | None = None) -> tuple[int, ...] | None:
        """A list of whole numbers from 0 up."""
        found = self.sequence(name, length)
        return None if found is None else tuple(self.whole(name, item, low=0) for item in found)

    def words(self, name: str, length: int | None = None) -> tuple[str, ...] | None:
        """A list of words."""
        found = self.sequence(name, length)
        if found is None:
            return None
        if not all(isinstance(item, str) for item in found):
            self.fault(name, "must be a list of names")
        return tuple(found)

    @property
    def model_type(self) -> str:
        """The architecture's name; a fault when it is missing or no word."""
        value = self.get("model_type")
        if not isinstance(value, str) or not value:
            self.fault("model_type", "is missing: the name of the architecture")
        return value

    @property
    def layers(self) -> int:
        """Decoder layers."""
        count = self.size(*LAYERS, meaning="decoder layers")
        if count > MOST_LAYERS:
            self.fault(self.name_of(*LAYERS), f"must be 1 to {MOST_LAYERS}, not {count}")
        return count

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.size(*HIDDEN, meaning="width of the model")

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.size(*HEADS, meaning="query heads")

    @property
    def vocab(self) -> int:
        """Rows of the token embedding."""
        return self.size("vocab_size", meaning="rows of the token embedding")

    def kv_heads(self, default: int | None = None) -> int:
        """Key/value heads: as many as query heads when the config is silent."""
        heads = self.heads
        found = self.size(*KV_HEADS, default=default or heads)
        if heads % found:
            key = self.name_of(*KV_HEADS)
            self.fault(key, f"{found} KV heads do not divide {heads} query heads")
        return found

    def head_dim(self, default: int | None = None) -> int:
        """Width of a head: its own key, a default of the architecture, or hidden / heads.

        The default holds when the key is absent; with null it is hidden / heads.
        """
        own = self.optional("head_dim")
        if own or (default and "head_dim" not in self.values):
            return own or default or 0
        return self.each(self.hidden, self.heads, self.name_of(*HEADS))

    def each(self, width: int, heads: int, key: str) -> int:
        """Width of one of `heads` equal parts of `width`; a fault about `key` when it is none."""
        if width < heads:
            self.fault(key, f"{heads} do not fit into a width of {width}")
        return width // heads


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
