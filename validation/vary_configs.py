"""Vary every key of a configuration class and hold llmroof's reader against the module.

For each model type the class default (with few layers) is taken, then once for every key: left
out, null, flipped, doubled or halved, or set where it was null. Parameters, cache growth per
token and state must be those of the transformers module on the meta device, or the reader must
refuse what it cannot know. Nothing is stored; differences are printed, one a line.

    python -m validation.vary_configs mixtral jamba qwen3_next

Needs torch and transformers. About ten seconds per model type; recurrent ones take minutes.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import transformers

from llmroof.errors import LlmroofError
from llmroof.models.hf_config.read import model_of
from llmroof.models.hf_config.view import LAYERS, Config
from llmroof.specs.precision import recipe
from validation.count_models import build
from validation.matrix_products import cache_bytes, run

#: keys that change no size
WITHOUT_SIZE = {
    *("_name_or_path", "architectures", "transformers_version", "dtype", "torch_dtype"),
    *("id2label", "label2id", "model_type", "output_hidden_states", "return_dict"),
    *("output_attentions", "problem_type", "chunk_size_feed_forward", "is_encoder_decoder"),
    *("use_cache", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id"),
    *("attention_dropout", "hidden_dropout", "rms_norm_eps", "layer_norm_eps", "hidden_act"),
    *("rope_parameters", "rope_scaling", "rope_theta", "max_position_embeddings"),
    *("vision_config", "audio_config", "text_config", "quantization_config"),
}
#: layers that a default is cut down to, where the class allows it, and what is put for null
FEW_LAYERS = (8, 12, None)
IN_PLACE_OF_NULL = (1, 2, 4, 64, True)
#: two short prompts, longer than any short convolution
PROMPTS = (8, 12)


def default(model_type: str) -> dict[str, Any]:
    """The class default as a config file would hold it, with few layers; {} if it has none."""
    cls = transformers.CONFIG_MAPPING[model_type]
    key = next((name for name in LAYERS if name in cls().to_dict()), "num_hidden_layers")
    for count in FEW_LAYERS:
        try:
            values: dict[str, Any] = cls(**({key: count} if count else {})).to_dict()
            module_figures(values)
        except Exception:  # classes refuse lengths in ways of their own
            continue
        return values
    return {}


def variants(values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what was done, the changed config), the unchanged one first."""
    yield "default", dict(values)
    for key in sorted(set(values) - WITHOUT_SIZE - set(LAYERS)):
        value = values[key]
        yield f"without {key}", {k: v for k, v in values.items() if k != key}
        others: tuple[Any, ...] = (None,)
        if value is None:
            others = IN_PLACE_OF_NULL
        elif isinstance(value, bool):
            others = (None, not value)
        elif isinstance(value, int) and value > 0:
            others = (None, 2 * value, max(1, value // 2))
        for other in others:
            yield f"{key} = {other}", {**values, key: other}


def module_figures(values: Mapping[str, Any]) -> dict[str, float]:
    """What the module holds; cache and state only where it runs."""
    cls = transformers.CONFIG_MAPPING[values["model_type"]]
    whole = cls.from_dict(copy.deepcopy(dict(values)))
    text = whole.get_text_config(decoder=True)
    module = build(whole, text)
    found: dict[str, float] = {"parameters": sum(p.numel() for p in module.parameters())}
    short, long = PROMPTS
    try:
        held = {tokens: cache_bytes(run(module, text, 1, tokens, 0)[0]) for tokens in PROMPTS}
    except Exception:  # a module that needs data cannot run on the meta device
        return found
    grows = (held[long] - held[short]) // (long - short)
    return found | {"kv_cache": grows, "state": held[short] - short * grows}


def own_figures(values: Mapping[str, Any]) -> dict[str, float]:
    """The same as llmroof reads it. Raises LlmroofError."""
    model, bf16 = model_of(Config(values, "config.json")), recipe("bf16")
    return {
        "parameters": model.parameters,
        "kv_cache": model.kv_cache_bytes_per_token(bf16),
        "state": model.state_bytes_per_sequence(bf16),
    }


def compare(values: Mapping[str, Any]) -> str:
    """What differs; empty where both agree, or both refuse."""
    try:
        module = module_figures(values)
    except Exception:  # the class or the module refuses such a config
        return ""
    try:
        own = own_figures(values)
    except LlmroofError as error:
        return f"refused: {error}"
    pairs = ((name, own[name], figure) for name, figure in module.items())
    return "; ".join(f"{n}: {o:,.0f}, module {m:,.0f}" for n, o, m in pairs if o != m)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_types", nargs="+")
    wrong = 0
    for model_type in parser.parse_args().model_types:
        tried = 0
        values = default(model_type)
        for what, changed in variants(values) if values else ():
            tried += 1
            difference = compare(changed)
            if difference:
                print(f"{model_type}, {what}: {difference}", flush=True)
            wrong += bool(difference) and not difference.startswith("refused")
        print(f"{model_type}: {tried} configs", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
