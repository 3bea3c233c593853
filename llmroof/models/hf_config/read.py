"""config.json -> Model: finds the text decoder, its reader, and what else the file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from llmroof.errors import Problem, SpecError, nearest
from llmroof.models.hf_config import (
    compressed,
    gemma,
    linear_hybrids,
    mamba_hybrids,
    one_of_a_kind,
    sparse_latent,
    spelled,
)
from llmroof.models.hf_config.decoder import Decoder, plain
from llmroof.models.hf_config.families import SAME_AS, TRAITS
from llmroof.models.hf_config.quantization import stored_precision
from llmroof.models.hf_config.view import CONTEXT, EXPERTS, LIMIT, Config
from llmroof.models.hf_config.vision import towers
from llmroof.models.hf_config.wrappers import TEXT_TYPES, text_config
from llmroof.models.model import Model
from llmroof.specs.hardware import Source
from llmroof.specs.tree import read_json

Reader: TypeAlias = Callable[[Config], Decoder]

#: architectures that need more than a row of traits
READERS: Final[dict[str, Reader]] = {
    "falcon": spelled.falcon,
    "mpt": spelled.mpt,
    "dbrx": spelled.dbrx,
    "gpt_bigcode": spelled.gpt_bigcode,
    "gpt_neo": spelled.gpt_neo,
    "gpt_neox_japanese": spelled.gpt_neox_japanese,
    "opt": spelled.opt,
    "bloom": spelled.bloom,
    "stablelm": spelled.stablelm,
    "hyperclovax": spelled.hyperclovax,
    "hunyuan_v1_moe": spelled.hunyuan_moe,
    "llama4_text": spelled.llama4,
    "mimo_v2_flash": spelled.mimo,
    "mllama_text_model": spelled.mllama,
    "doge": spelled.doge,
    "laguna": spelled.laguna,
    "step3p5": spelled.step3,
    "chatglm": spelled.chatglm,
    "qwen": spelled.qwen1,
    "deepseek_v4": compressed.deepseek_v4,
    "mamba": mamba_hybrids.mamba_config,
    "falcon_mamba": mamba_hybrids.mamba_config,
    "mamba2": mamba_hybrids.mamba2_config,
    "bamba": mamba_hybrids.bamba,
    "granitemoehybrid": mamba_hybrids.granite_hybrid,
    "falcon_h1": mamba_hybrids.falcon_h1,
    "jamba": mamba_hybrids.jamba,
    "nemotron_h": mamba_hybrids.nemotron_h,
    "recurrent_gemma": linear_hybrids.recurrent_gemma,
    "lfm2": linear_hybrids.lfm2,
    "lfm2_moe": linear_hybrids.lfm2,
    "lfm3": linear_hybrids.lfm3,
    "qwen3_next": linear_hybrids.qwen3_next,
    "qwen3_5_text": linear_hybrids.qwen3_next,
    "qwen3_5_moe_text": linear_hybrids.qwen3_next,
    "olmo_hybrid": linear_hybrids.olmo_hybrid,
    "kimi_linear": linear_hybrids.kimi_linear,
    "bailing_hybrid": linear_hybrids.bailing_hybrid,
    "minimax": linear_hybrids.minimax_text,
    "zamba": mamba_hybrids.zamba,
    "zamba2": mamba_hybrids.zamba2,
    "gemma3n_text": gemma.gemma3n,
    "gemma4_text": gemma.gemma4,
    "gemma4_unified_text": lambda config: gemma.gemma4(config, per_layer=False),
    "glm_moe_dsa": sparse_latent.glm_dsa,
    "axk2": sparse_latent.axk2,
    "hy_v4": sparse_latent.hy_v4,
    "glm5_next_text": sparse_latent.glm5_next,
    "dots3_note_text": sparse_latent.dots3,
    "longcat_flash": sparse_latent.longcat,
    "minimax_m3_vl_text": sparse_latent.minimax_m3,
    "minicpm": one_of_a_kind.minicpm,
    "minicpm3": one_of_a_kind.minicpm3,
    "jetmoe": one_of_a_kind.jetmoe,
    "rwkv": one_of_a_kind.rwkv,
    "modernbert-decoder": one_of_a_kind.modernbert_decoder,
    "cpmant": one_of_a_kind.cpmant,
    "arctic": one_of_a_kind.arctic,
    "openelm": one_of_a_kind.openelm,
    "nemotron-nas": one_of_a_kind.nemotron_nas,
}

#: other names of an architecture that has a reader of its own
_READER_ALIASES: Final = {
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
    "minimax_m1": "minimax",
    "minimax_text_01": "minimax",
    "stablelm_epoch": "stablelm",
    "MiniMaxText01": "minimax",
    "step3p7": "step3p5",
}


#: keys that count the layers of multi-token prediction
_PREDICTION: Final = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")


def known_architectures() -> tuple[str, ...]:
    """Every model_type that can be read."""
    return tuple(sorted({*TRAITS, *READERS, *SAME_AS, *_READER_ALIASES, *TEXT_TYPES}))


def read_config(path: Path) -> Model:
    """The model of a config.json (file or folder). Raises SpecError."""
    file = path / "config.json" if path.is_dir() else path
    values = read_json(file, constants=True)
    if not isinstance(values, Mapping):
        raise SpecError([Problem(str(file), 0, "", "is no table of keys")])
    beside = file.parent / "hf_quant_config.json"
    if "quantization_config" not in values and beside.is_file():
        values = {**values, "quantization_config": read_json(beside)}
    return model_of(Config(values, str(file)))


def model_of(config: Config) -> Model:
    """The model that a config describes; its text decoder where it is multimodal."""
    text = text_config(config)
    decoder = decode(text)
    _nothing_left_out(text, decoder)
    extras, uncounted = towers(config, text.hidden)
    path = Path(config.file).resolve()
    named = path.name == "config.json"
    stem = path.parent.name if named else path.stem
    return Model(
        id=stem,
        name=stem,
        family=text.model_type,
        hidden=text.hidden,
        embedding=decoder.embedding,
        layers=decoder.run_lengths(),
        head=decoder.head,
        around=decoder.around,
        max_context=text.optional(LIMIT, *CONTEXT),
        precision=stored_precision(config, text, len(decoder.layers)),
        extras=extras,
        unused=_prediction_layers(text, decoder),
        notes="; ".join((*text.assumed, *uncounted)),
        file=config.file,
        sources=(Source((), f"config.json of {stem}" if named else path.name),),
    )


def _nothing_left_out(text: Config, decoder: Decoder) -> None:
    """Keys that make another model of an architecture that is read without them are faults."""
    if text.flag("add_cross_attention", False):
        text.fault("add_cross_attention", "attention to an encoder is not modelled")
    experts = text.get(*EXPERTS)
    said = all(text.flag(key, True) for key in _SWITCHES) and text.model_type not in _SPELLED_OUT
    kinds = {block.kind for layer in decoder.layers for block in layer}
    if said and isinstance(experts, int) and experts > 1 and not kinds & {"moe", _MIXED_HEADS}:
        text.fault(
            text.name_of(*EXPERTS),
            f"names {experts} experts, but '{text.model_type[:60]}' is known without experts only",
        )


#: flags without which a number of experts means nothing
_SWITCHES: Final = ("is_moe", "enable_moe_block")
#: architectures whose list of layers says which hold experts, none of them perhaps
_SPELLED_OUT: Final = ("nemotron_h",)
#: the kind of block that has experts in its attention
_MIXED_HEADS: Final = "attention_experts"


def _prediction_layers(text: Config, decoder: Decoder) -> dict[str, int]:
    """Multi-token prediction: layers like the last one, each behind a projection of two inputs."""
    count = text.size(*_PREDICTION, default=0, low=0)
    if not count:
        return {}
    layer = sum(block.parameters for block in decoder.layers[-1])
    hidden = text.hidden
    return {"mtp_layers": round(count * (layer + 2 * hidden * hidden + 3 * hidden))}


def architecture(config: Config) -> str:
    """The row or reader that a config's model_type stands for."""
    name = config.model_type
    name = TEXT_TYPES.get(name, name)
    return SAME_AS.get(name) or _READER_ALIASES.get(name) or name


def decode(config: Config) -> Decoder:
    """The decoder of a text config; an unknown model_type is an error, never a guess."""
    name = architecture(config)
    if name in READERS:
        return READERS[name](config)
    if name in TRAITS:
        return plain(config, TRAITS[name])
    guess = nearest(config.model_type, known_architectures())
    hint = f"; the nearest known architecture is '{guess}'" if guess else ""
    config.fault("model_type", f"unknown architecture '{config.model_type[:80]}'{hint}")
