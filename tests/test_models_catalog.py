"""The shipped models: names that people use, sizes that were published, sources."""

from __future__ import annotations

import re

import pytest

from llmroof.models.export import to_yaml
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.models.spec import read_model
from llmroof.specs.catalog import MODELS
from llmroof.specs.precision import recipe
from llmroof.specs.tree import parse_yaml

BF16 = recipe("bf16")
IDS = sorted(MODELS.files())

#: models that measured rows name by their hub name
BY_HUB_NAME = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-chat-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-chat-hf": 68_976_648_192,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "meta-llama/Meta-Llama-3-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-405B-Instruct": 405_853_388_800,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46_702_792_704,
    "mistralai/Mixtral-8x22B-Instruct-v0.1": 140_630_071_296,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-72B-Instruct": 72_706_203_648,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "Qwen/Qwen3-Next-80B-A3B-Instruct": 79_674_391_296,
    "Qwen/Qwen3.5-397B-A17B": 396_346_350_336,
    "google/gemma-2-27b-it": 27_227_128_320,
    "google/gemma-3-12b-it": 11_765_788_416,
    "deepseek-ai/DeepSeek-V3": 671_026_404_352,
    "deepseek-ai/DeepSeek-R1": 671_026_404_352,
    "deepseek-ai/DeepSeek-V3.2": 671_877_929_216,
    "moonshotai/Kimi-K2-Instruct": 1_026_408_209_408,
    "moonshotai/Kimi-K2.5": 1_026_408_209_408,
    "zai-org/GLM-4.5": 352_797_814_784,
    "zai-org/GLM-4.7": 352_797_814_784,
    "zai-org/GLM-5": 743_911_199_232,
    "MiniMaxAI/MiniMax-M2.5": 228_689_748_992,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "tiiuae/falcon-180B": 178_557_088_768,
    "EleutherAI/gpt-j-6b": 6_050_882_784,
    "mosaicml/mpt-7b": 6_649_286_656,
}


@pytest.fixture(params=IDS)
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param)


def test_there_are_many() -> None:
    assert len(IDS) >= 80
    assert len({load_model(name).family for name in IDS}) >= 40


@pytest.mark.parametrize("hub", BY_HUB_NAME)
def test_hub_names_find_their_spec(hub: str) -> None:
    for spelling in (hub, hub.lower()):
        found = load_model(spelling)
        assert found.parameters == BY_HUB_NAME[hub]
        assert found.id in IDS


def test_no_name_means_two_models() -> None:
    stands_for: dict[str, str] = {name.lower(): name for name in IDS}
    named = [(alias, load_model(alias).id) for alias in MODELS.aliases()]
    named += [(hub, name) for name in IDS for hub in load_model(name).hub]
    for word, name in named:
        assert stands_for.setdefault(word.lower(), name) == name


def test_a_spec_says_where_it_is_from(model: Model) -> None:
    assert model.hub
    assert model.sources
    assert all(source.url.startswith("https://") for source in model.sources)
    assert model.max_context or model.family in ("mamba", "mamba2", "falcon_mamba")


def test_a_spec_holds_together(model: Model) -> None:
    """Sizes that cannot be otherwise, whatever the model."""
    assert 0 < model.active_parameters <= model.parameters
    assert model.kv_cache_bytes_per_token(BF16) + model.state_bytes_per_sequence(BF16) > 0
    assert model.kv_cache_bytes(4096.0, BF16) <= 4096 * model.kv_cache_bytes_per_token(
        BF16
    ) + model.state_bytes_per_sequence(BF16)
    assert 0.5 < 8 * model.weights_bytes(model.precision) / model.parameters < 33


def test_the_size_in_a_name_is_the_size(model: Model) -> None:
    """`70b` in an id is about 70 billion parameters, `-a3b` about 3 billion active ones.

    Names are generous (a Gemma "2B" has 2.6), a wrong key is off by more.
    """
    found = re.search(r"(?:^|-)(\d+(?:\.\d+)?)([bm])(?=-|$)", model.id)
    if found and not model.id.startswith("olmoe"):
        named = float(found[1]) * {"b": 1e9, "m": 1e6}[found[2]]
        whole = model.parameters + sum(model.extras.values())
        assert whole == pytest.approx(named, rel=0.35)
    active = re.search(r"-a(\d+(?:\.\d+)?)([bm])(?=-|$)", model.id)
    if active:
        named = float(active[1]) * {"b": 1e9, "m": 1e6}[active[2]]
        assert model.active_parameters == pytest.approx(named, rel=0.4)


def test_writing_a_spec_gives_the_same_model(model: Model) -> None:
    text = to_yaml(model)
    again = read_model(parse_yaml(text, "again.yaml"), MODELS.path(model.id))
    assert (again.layers, again.embedding, again.head) == (
        model.layers,
        model.embedding,
        model.head,
    )
    assert (again.precision, again.extras, again.unused) == (
        model.precision,
        model.extras,
        model.unused,
    )
    assert to_yaml(again) == text
