"""Blocks against figures worked out by hand: small sizes, every kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from llmroof.blocks.attention import Attention
from llmroof.blocks.attention_experts import AttentionExperts
from llmroof.blocks.base import Block, Reused
from llmroof.blocks.chain import Chain, Idle
from llmroof.blocks.compressed import CompressedAttention
from llmroof.blocks.ends import Embedding, Head
from llmroof.blocks.experts import MoE, distinct_experts
from llmroof.blocks.indexer import Indexer
from llmroof.blocks.latent import LatentAttention
from llmroof.blocks.linear_attention import DeltaNet, KimiDelta, Lightning
from llmroof.blocks.mlp import MLP
from llmroof.blocks.recurrent import Recurrent
from llmroof.blocks.registry import KINDS, block_class, block_schema, block_values, make_block
from llmroof.blocks.rwkv import ChannelMix, TimeMix
from llmroof.blocks.ssm import GatedRecurrence, Mamba, Mamba2, ShortConv
from llmroof.operators import Execution, Operator, Plan, Step
from llmroof.specs.precision import recipe

BF16 = recipe("bf16")
RUN = Execution(BF16)
PROMPT, TOKEN = Step(2, 100), Step(3, 1, 999)

MLA = LatentAttention(hidden=64, heads=8, kv_lora=16, nope=12, rope=4, v_head_dim=12, q_lora=24)
MOE = MoE(hidden=64, intermediate=48, experts=16, top_k=2, shared=32)
EVERY: dict[str, Block] = {
    "attention": Attention(hidden=64, heads=8, kv_heads=4, head_dim=16, qk_norm="head"),
    "sliding": Attention(hidden=64, heads=8, kv_heads=4, head_dim=16, window=32, sinks=True),
    "chunked": Attention(hidden=64, heads=8, kv_heads=4, head_dim=16, chunk=64, gate="full"),
    "mla": MLA,
    "sparse mla": replace(MLA, topk=32),
    "indexer": Indexer(hidden=64, heads=4, head_dim=8, query_inputs=24),
    "compressed": CompressedAttention(
        hidden=64, heads=8, head_dim=16, q_lora=24, window=32, output_groups=4, output_lora=8
    ),
    "mlp": MLP(hidden=64, intermediate=96),
    "moe": MOE,
    "mamba": Mamba(hidden=64, inner_width=128, state=16, dt_rank=4),
    "mamba2": Mamba2(hidden=64, heads=8, head_dim=16, state=32, groups=2),
    "rglru": GatedRecurrence(hidden=64, width=64, heads=8),
    "short_conv": ShortConv(hidden=64, conv_kernel=3),
    "delta_net": DeltaNet(hidden=64, key_heads=4, heads=8, key_dim=8, value_dim=8),
    "kimi_delta": KimiDelta(hidden=64, heads=8, head_dim=8, gate_rank=8),
    "lightning": Lightning(hidden=64, heads=8, head_dim=8),
    "attention experts": AttentionExperts(64, kv_heads=4, head_dim=16, experts=8, top_k=2),
    "rwkv time": TimeMix(hidden=64, width=64),
    "rwkv channel": ChannelMix(hidden=64, intermediate=256),
    "chain": Chain("laurel", (64, 8, 64)),
    "idle": Idle("cross_attention", 1000),
}


def of(block: Block, steps: Step | Sequence[Step], run: Execution = RUN) -> list[Operator]:
    return list(block.operators([steps] if isinstance(steps, Step) else steps, run))


def one(block: Block, name: str, step: Step, run: Execution = RUN) -> Operator:
    (found,) = [op for op in of(block, step, run) if op.name == name]
    return found


def total(operators: Sequence[Operator], amount: str) -> float:
    return float(sum(np.asarray(getattr(op, amount)) for op in operators))


@pytest.fixture(params=EVERY)
def block(request: pytest.FixtureRequest) -> Block:
    return EVERY[request.param]


# --- what holds for every block ------------------------------------------------------


def test_all_kinds_are_here() -> None:
    missing = set(KINDS) - {block.kind for block in EVERY.values()} - {"embedding", "head"}
    assert not missing - {"reused"}


def test_a_matmul_is_charged_two_flop_per_parameter_and_token(block: Block) -> None:
    """Over dense blocks: FLOP of all matmuls = 2 x tokens x matrix parameters."""
    if isinstance(
        block, MoE | AttentionExperts | Idle | GatedRecurrence | Mamba | CompressedAttention
    ):
        pytest.skip("not every parameter meets every token")
    matrices = sum(t.elements for t in block.tensors() if t.role not in ("norm", "state"))
    gemms = [op for op in of(block, PROMPT) if op.kind == "gemm"]
    assert total(gemms, "flop") == 2 * 200 * matrices


def test_weights_are_read_once_whatever_the_batch(block: Block) -> None:
    few, many = Step(1, 100), Step(50, 100)
    if isinstance(block, MoE | AttentionExperts):
        pytest.skip("touches more experts with more tokens")
    assert total(of(block, few), "weight_bytes") == total(of(block, many), "weight_bytes")
    read = total(of(block, few), "weight_bytes")
    held = 0.0 if isinstance(block, Idle) else 2 * block.parameters
    assert read == pytest.approx(held, rel=0.15)  # vectors of the cores are not read apart


def test_rows_of_an_array_are_the_scalars(block: Block) -> None:
    """One formula for a number and for a thousand of them."""
    batch, past = np.array([1.0, 3.0, 64.0]), np.array([0.0, 31.0, 4096.0])
    rows = of(block, Step(batch, 1.0, past))
    for index in range(3):
        alone = of(block, Step(float(batch[index]), 1.0, float(past[index])))
        assert [op.name for op in alone] == [op.name for op in rows]
        for many, single in zip(rows, alone, strict=True):
            for amount in ("flop", "weight_bytes", "kv_bytes", "activation_bytes"):
                picked = np.broadcast_to(np.asarray(getattr(many, amount), float), 3)[index]
                assert picked == pytest.approx(float(getattr(single, amount)), rel=1e-12)


def test_shards_add_up_to_the_whole(block: Block) -> None:
    """What 4 devices hold and multiply, replicated parts apart, is what one does."""
    plan = Plan(tp=4)
    held = sum(tensor.local(plan) * min(4, tensor.limit) for tensor in block.tensors())
    assert held == pytest.approx(block.parameters)
    alone = of(block, PROMPT)
    shared = [op for op in of(block, PROMPT, Execution(BF16, plan)) if op.kind != "all_reduce"]
    assert [op.name for op in shared] == [op.name for op in alone]
    for part, whole in zip(shared, alone, strict=True):
        assert float(whole.flop) / 4 <= float(part.flop) * (1 + 1e-12)
        assert float(part.flop) <= float(whole.flop)


def test_a_prompt_in_two_chunks_is_the_same_work(block: Block) -> None:
    """Chunked prefill: attention reads more, the FLOP stay (MLA expands anew)."""
    if isinstance(block, LatentAttention):
        pytest.skip("expands the cached latent again")
    whole = total(of(block, Step(2, 100)), "flop")
    parts = total(of(block, Step(2, 60)), "flop") + total(of(block, Step(2, 40, 60)), "flop")
    assert parts == pytest.approx(whole, rel=1e-12)


def test_kernels_of_a_feed_forward_network_by_name() -> None:
    """Gate and up projection are one product."""
    gated, plain = EVERY["mlp"], replace(EVERY["mlp"], gated=False)  # type: ignore[type-var]
    names = [operator.name for operator in of(gated, TOKEN)]
    assert names == ["mlp_norm", "gate_up_proj", "activation", "down_proj"]
    assert [operator.name for operator in of(plain, TOKEN)][1] == "up_proj"


def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.describe()
    assert block.workspace(Plan()) >= block.workspace(Plan(tp=4)) >= 0
    assert block.kind in KINDS


def test_a_kind_of_block_that_leaves_a_part_open_cannot_be_made() -> None:
    own = {"tensors", "operators", "workspace", "describe"}
    mixer = {"inputs", "output", "convolved", "ways", "describe"}
    for base, parts in ((Block, own), (Recurrent, mixer)):
        for missing in parts:
            given = dict.fromkeys(parts - {missing}, lambda self: None)
            with pytest.raises(TypeError, match=missing):
                type("Half", (base,), given)()


def test_what_blocks_say_of_their_options() -> None:
    attention = Attention(hidden=64, heads=8, kv_heads=4, head_dim=16)
    assert attention.describe() == "GQA, 8 heads over 4 KV heads of 16"
    assert replace(attention, kv_heads=1).describe().startswith("MQA, 8 heads over 1 KV heads")
    assert replace(attention, kv_heads=8).describe().startswith("MHA, 8 heads over 8 KV heads")
    full = replace(
        attention, window=32, chunk=64, topk=5, qk_norm="head", qkv_bias=True, sinks=True,
        gate="full", shares_kv=True,
    )  # fmt: skip
    assert full.describe().partition("of 16, ")[2] == (
        "sliding window 32, chunks of 64, 5 keys picked by the indexer, q/k norms, biases, sinks, "
        "gated output, KV of an earlier layer"
    )
    assert MLA.describe() == "MLA, 8 heads, latent 16 + 4 rope"
    assert replace(MLA, topk=5, window=32).describe() == (
        "MLA, 8 heads, latent 16 + 4 rope, 5 keys picked by the indexer, sliding window 32"
    )
    compressed = EVERY["compressed"]
    assert compressed.describe() == "MQA, 8 heads of 16, window 32"
    assert replace(compressed, rate=4, topk=5).describe() == (  # type: ignore[type-var]
        "MQA, 8 heads of 16, window 32, 1 pooled token per 4, 5 of them picked by the indexer"
    )
    assert EVERY["chain"].describe() == "laurel: 64 -> 8 -> 64"
    assert Chain("wide", (64, 8), copies=3).describe() == "wide: 64 -> 8, 3 times"
    assert EVERY["idle"].describe() == "cross_attention: 1000 parameters that text does not use"
    assert EVERY["attention experts"].describe() == (
        "mixture of attention heads, 2 of 8 experts with 4 query heads each over 4 KV heads of 16"
    )
    assert Embedding(100, 64).describe() == "100 tokens x 64"
    assert Embedding(100, 64, positions=9, more_vocab=50, more_width=8).describe() == (
        "100 tokens x 64, 9 learned positions, 50 x 8 looked up for the layers"
    )
    assert Head(100, 64).describe() == "LM head of its own"
    assert Head(100, 64, tied=True).describe() == "LM head tied to the embedding"
    assert (
        Reused(MLA).describe() == "MLA, 8 heads, latent 16 + 4 rope (weights of an earlier layer)"
    )


#: values per token alive inside a block of EVERY on one of two devices
ALIVE = {
    "attention": (8 * (16 + 16) + 4 * (16 + 16)) / 2,
    "sliding": (8 * (16 + 16) + 4 * (16 + 16)) / 2,
    "chunked": (8 * (16 + 16 + 16) + 4 * (16 + 16)) / 2,  # and the gate
    "mla": 24 + 16 + 4 + 8 / 2 * 2 * (12 + 4 + 12),  # latents whole; q and k, v and result
    "sparse mla": 24 + 16 + 4 + 8 / 2 * 2 * (12 + 4 + 12),
    "indexer": 4 * 8 + 8,
    "compressed": 24 + 16 + 8 / 2 * 2 * 16,
    "mlp": 3 * 96 / 2,
    "moe": 2 * (3 * 48 + 64) / 2 + 3 * 32 / 2,
    "mamba": (2 * 128 + 128) / 2,
    "mamba2": (2 * 128 + 2 * 2 * 32 + 8 + 128) / 2,
    "rglru": (2 * 64 + 64) / 2,
    "short_conv": (3 * 64 + 64) / 2,
    "delta_net": (2 * 4 * 8 + 2 * 8 * 8 + 2 * 8 + 64) / 2,
    "kimi_delta": (3 * 64 + 8 + 2 * 8 + 64) / 2,
    "lightning": (4 * 64 + 64) / 2,
    "attention experts": (2 * 4 * (16 + 16) + 4 * (16 + 16)) / 2,
    "rwkv time": (3 * 64 + 64) / 2,
    "rwkv channel": (256 + 64 + 256) / 2,
    "chain": 8 + 64,
    "idle": 0,
}


@pytest.mark.parametrize("name", EVERY)
def test_what_is_alive_inside_a_block(name: str) -> None:
    assert EVERY[name].workspace(Plan(tp=2)) == ALIVE[name]


def test_what_is_alive_inside_of_experts_of_several_ranks() -> None:
    """The rows of all ranks meet at the experts, which stand on all devices."""
    assert MOE.workspace(Plan(tp=2, dp=4)) == 2 * (3 * 48 + 64) / 2 + 3 * 32 / 2
    plain = replace(MOE, gated=False, shared=0)
    assert plain.workspace(Plan(tp=2, dp=4, ep=8)) == 2 * (2 * 48 + 64) / 2


# --- softmax attention ---------------------------------------------------------------


def test_attention_by_hand() -> None:
    """8 query heads over 4 KV heads of 16, width 64."""
    block = EVERY["attention"]
    assert block.parameters == 64 * 128 + 2 * 64 * 64 + 128 * 64 + 64 + 2 * 16
    core = one(block, "attention", PROMPT)
    assert core.flop == 2 * (100 * 101 / 2) * 4 * 8 * 16
    assert core.kv_bytes == 2 * 100 * 2 * 4 * 16 * 2
    assert block.cache()[0].bytes(1000, BF16) == 1000 * 2 * 4 * 16 * 2
    decode = one(block, "attention", TOKEN)
    assert decode.flop == 3 * 1000 * 4 * 8 * 16
    assert decode.kv_bytes == 3 * 1000 * 2 * 4 * 16 * 2


def test_a_window_is_what_each_query_sees() -> None:
    block = EVERY["sliding"]
    pairs = 32 * 33 / 2 + 68 * 32
    assert one(block, "attention", PROMPT).flop == 2 * pairs * 4 * 8 * 16
    assert one(block, "attention", TOKEN).flop == 3 * 32 * 4 * 8 * 16
    assert block.cache()[0].bytes(1000, BF16) == 32 * 2 * 4 * 16 * 2


def test_a_chunk_starts_anew() -> None:
    """Chunks of 64: position 100 sees 36 keys; token 1,000 is the 40th of its chunk."""
    block = EVERY["chunked"]
    pairs = 64 * 65 / 2 + 36 * 37 / 2
    assert one(block, "attention", PROMPT).flop == 2 * pairs * 4 * 8 * 16
    assert one(block, "attention", TOKEN).flop == 3 * 40 * 4 * 8 * 16


def test_kv_of_an_earlier_layer_is_neither_projected_nor_kept_twice() -> None:
    own = Attention(hidden=64, heads=8, kv_heads=4, head_dim=16)
    shares = replace(own, shares_kv=True)
    assert own.parameters - shares.parameters == 2 * 64 * 64
    assert shares.cache() == ()
    assert one(shares, "attention", TOKEN).kv_bytes == one(own, "attention", TOKEN).kv_bytes


def test_heads_beyond_the_kv_heads_are_replicated() -> None:
    """4 KV heads on 8 devices: each holds one, twice over."""
    block = EVERY["attention"]
    assert block.cache()[0].bytes(1.0, BF16, tp=8) == 2 * 16 * 2
    assert block.cache()[0].bytes(1.0, BF16, tp=4) == 2 * 16 * 2


def test_naive_attention_writes_its_scores() -> None:
    naive = Execution(BF16, attention="naive")
    block = EVERY["attention"]
    flash = of(block, PROMPT)
    slow = of(block, PROMPT, naive)
    assert total(slow, "flop") == total(flash, "flop")
    scores = 2 * 100 * 100 * 8 * 2
    assert total(slow, "activation_bytes") - total(flash, "activation_bytes") == 4 * scores


# --- latent and sparse attention -----------------------------------------------------


def test_mla_keeps_a_latent() -> None:
    assert MLA.cache()[0].bytes(1.0, BF16) == (16 + 4) * 2
    assert MLA.cache()[0].bytes(1.0, BF16, tp=8) == (16 + 4) * 2  # whole on every device


def test_mla_expands_prompts_and_absorbs_for_one_token() -> None:
    """A prompt: 2·H(n + r + v) per pair. One token: 2·H(2c + r) per key, latent read once."""
    core = one(MLA, "mla", PROMPT)
    assert core.flop == 2 * (100 * 101 / 2) * 2 * 8 * (12 + 4 + 12)
    core = one(MLA, "mla", TOKEN)
    assert core.flop == 3 * 1000 * 2 * 8 * (2 * 16 + 4)
    assert core.kv_bytes == 3 * 1000 * (16 + 4) * 2


def test_mla_takes_the_cheaper_way() -> None:
    """With a past, expanding it anew costs 2·c·H(n + v) per cached token."""
    new = np.arange(1.0, 400.0)
    core = one(MLA, "mla", Step(1.0, new, 999.0))
    pairs = new * 999 + new * (new + 1) / 2
    naive = pairs * 2 * 8 * 28 + 999 * 2 * 16 * 8 * 24
    absorbed = pairs * 2 * 8 * 36
    assert core.flop == pytest.approx(np.minimum(naive, absorbed))
    assert not core.shape["expanded"][0]
    assert core.shape["expanded"][-1]
    switch = np.argmax(core.shape["expanded"])
    assert naive[switch] <= absorbed[switch]
    assert naive[switch - 1] > absorbed[switch - 1]


def test_an_indexer_picks_the_keys() -> None:
    """32 of 1,000 keys are attended, all 1,000 scored with 4 narrow heads of 8."""
    sparse, indexer = EVERY["sparse mla"], EVERY["indexer"]
    assert one(sparse, "mla", TOKEN).flop == 3 * 32 * 2 * 8 * 36
    scores = one(indexer, "index_scores", TOKEN)
    assert scores.flop == 3 * 1000 * 2 * 4 * 8
    assert scores.kv_bytes == 3 * 1000 * 8 * 2
    assert indexer.cache()[0].bytes(1.0, BF16) == 8 * 2


# --- mixture of experts --------------------------------------------------------------


def test_experts_by_hand() -> None:
    each = 3 * 64 * 48
    assert MOE.parameters == 16 * each + 64 * 16 + 3 * 64 * 32 + 64
    assert MOE.active_parameters == 2 * each + 64 * 16 + 3 * 64 * 32 + 64
    grouped = [op for op in of(MOE, PROMPT) if op.kind == "moe"]
    assert total(grouped, "flop") == 2 * 200 * 2 * each


def test_bandwidth_is_of_the_experts_touched() -> None:
    """One token reads 2 experts; three read 16(1 - (14/16)^3); many read all."""
    each = 3 * 64 * 48 * 2
    for tokens, touched in ((1, 2.0), (3, 16 * (1 - 0.875**3)), (10_000, 16.0)):
        grouped = [op for op in of(MOE, Step(tokens, 1, 5)) if op.kind == "moe"]
        assert total(grouped, "weight_bytes") == pytest.approx(touched * each)


def test_skewed_routing_touches_fewer() -> None:
    even = distinct_experts(256, 8, 32.0)
    some, more = (distinct_experts(256, 8, 32.0, skew) for skew in (0.5, 1.0))
    assert more < some < even
    assert distinct_experts(256, 8, 32.0, 1e-12) == pytest.approx(even)
    rows = distinct_experts(256, 8, np.array([1.0, 32.0]), 1.0)
    assert rows[1] == pytest.approx(more)
    skewed = Execution(BF16, routing_skew=1.0)
    assert total(of(MOE, TOKEN, skewed), "weight_bytes") < total(of(MOE, TOKEN), "weight_bytes")


def test_experts_are_spread_or_sharded() -> None:
    """On 4 devices: whole experts (ep) or a quarter of each (tp); the same work in sum."""
    alone = [op for op in of(MOE, PROMPT) if op.kind == "moe"]
    for plan in (Plan(tp=4), Plan(tp=4, ep=4), Plan(dp=4, ep=4), Plan(tp=2, dp=2, ep=2)):
        own = Step(2 / plan.dp, 100)
        grouped = [op for op in of(MOE, own, Execution(BF16, plan)) if op.kind == "moe"]
        assert 4 * total(grouped, "flop") == pytest.approx(total(alone, "flop"))
        assert 4 * total(grouped, "weight_bytes") == pytest.approx(total(alone, "weight_bytes"))
        held = sum(t.local(plan) for t in MOE.tensors() if t.over == "experts")
        assert held == 16 * 3 * 64 * 48 / 4


def test_identity_experts_do_no_work() -> None:
    """12 tokens' worth of choices over 16 real and 8 idle experts: two thirds work."""
    idle = replace(MOE, idle_experts=8)
    grouped = [op for op in of(idle, PROMPT) if op.kind == "moe"]
    full = [op for op in of(MOE, PROMPT) if op.kind == "moe"]
    assert total(grouped, "flop") == pytest.approx(total(full, "flop") * 16 / 24)
    assert idle.parameters - MOE.parameters == 64 * 8


# --- recurrent mixers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state", "conv"),
    [
        ("mamba", 128 * 16 * 4, 128 * 4 * 2),
        ("mamba2", 8 * 16 * 32 * 4, (128 + 2 * 2 * 32) * 4 * 2),
        ("delta_net", 8 * 8 * 8 * 4, (2 * 4 * 8 + 8 * 8) * 4 * 2),
        ("kimi_delta", 8 * 8 * 8 * 4, 3 * 64 * 4 * 2),
        ("rglru", 64 * 4, 64 * 4 * 2),
        ("short_conv", 0, 64 * 3 * 2),
    ],
)
def test_state_does_not_grow(name: str, state: int, conv: int) -> None:
    """Recurrent state in 32 bits, the last tokens of the convolution in 16."""
    held = EVERY[name].cache()[0]
    assert held.bytes(0, BF16) == held.bytes(1_000_000, BF16) == state + conv


@pytest.mark.parametrize("name", ["mamba", "mamba2", "delta_net", "kimi_delta", "lightning"])
def test_a_step_reads_and_writes_the_state_once(name: str) -> None:
    block = EVERY[name]
    near, far = Step(3, 1, 10), Step(3, 1, 100_000)
    scan = one(block, "scan", near)
    assert scan.kv_bytes == one(block, "scan", far).kv_bytes
    assert total(of(block, near), "flop") == total(of(block, far), "flop")
    assert total(of(block, near), "kv_bytes") == 3 * 2 * block.cache()[0].bytes(0, BF16)


def test_a_mamba_mixer_in_parts_projects_each_part() -> None:
    """Two mixers side by side on half the width each (Zamba): two decay ranks and states."""
    whole = Mamba(hidden=64, inner_width=128, state=16, dt_rank=4)
    parts = replace(whole, splits=2)
    x_proj, dt_proj = parts.inner()
    assert (x_proj.inputs, x_proj.outputs) == (64, 2 * (4 + 2 * 16))
    assert (dt_proj.inputs, dt_proj.outputs) == (4, 128)
    assert whole.inner()[0].inputs == 128


def test_mamba2_by_hand() -> None:
    """in_proj to z, x, B, C, dt; conv over x, B, C; A, D, dt bias; gated norm; out."""
    block = EVERY["mamba2"]
    conv = 128 + 2 * 2 * 32
    inputs = 64 * (128 + conv + 8)
    assert block.parameters == inputs + conv * 4 + conv + 3 * 8 + 128 + 128 * 64 + 64


# --- small parts ---------------------------------------------------------------------


def test_a_reused_block_costs_time_and_cache_but_no_weights() -> None:
    own = EVERY["attention"]
    again = Reused(own)
    assert again.parameters == 0
    assert again.cache() == own.cache()
    assert total(of(again, TOKEN), "flop") == total(of(own, TOKEN), "flop")


def test_idle_parameters_are_held_and_not_run() -> None:
    block = EVERY["idle"]
    assert block.parameters == 1000
    assert of(block, PROMPT) == []


def test_a_spec_can_say_whatever_a_block_is(block: Block) -> None:
    """The table written for a block gives the same block, and its schema knows every key."""
    values = block_values(block)
    assert block_class(block.kind) is type(block)
    assert set(values) <= set(block_schema(type(block)).fields)
    assert make_block(values, {"hidden": 64, "vocab": 100}) == block


def test_the_table_of_a_block_is_checked() -> None:
    """What stands in a spec: its kind always, counts from zero on, sizes from one on."""
    schema = block_schema(LatentAttention).json_schema()
    sizes = {"kind", "heads", "kv_lora", "nope", "rope", "v_head_dim"}
    assert set(schema["required"]) == sizes
    known = schema["properties"]
    assert "hidden" not in known  # the model's
    bounds = {name: (known[name]["minimum"], known[name]["maximum"]) for name in sizes - {"kind"}}
    assert bounds.pop("rope") == (0, 1e30)  # latent attention without a rotary part
    assert set(bounds.values()) == {(1, 2**48)}
    assert (known["norms"]["minimum"], known["norms"]["maximum"]) == (0, 1e30)
    assert (known["window"]["minimum"], known["window"]["maximum"]) == (1, 2**48)
    assert {known[name]["type"] for name in ("heads", "norms", "window")} == {"integer"}
    assert known["q_lora"]["description"] == "q lora"


def test_attention_experts_by_hand() -> None:
    """2 of 8 experts of 4 heads: 8 query heads over 4 KV heads of 16, all experts held."""
    block = AttentionExperts(hidden=64, kv_heads=4, head_dim=16, experts=8, top_k=2)
    expert = 2 * 64 * 64
    assert block.parameters == 8 * expert + 64 * 8 + 2 * 64 * 64 + 64
    assert block.active_parameters == 2 * expert + 64 * 8 + 2 * 64 * 64 + 64
    routed = [op for op in of(block, TOKEN) if op.kind == "moe"]
    assert total(routed, "flop") == 2 * 2 * expert * TOKEN.batch
    core = one(block, "attention", Step(1, 1, 9))
    assert core.flop == 4 * 8 * 16 * 10
    assert block.cache()[0].values == 2 * 4 * 16


def test_rwkv_by_hand() -> None:
    """Four square matrices, five vectors of mixing and decay, a LayerNorm; 3 sums per channel."""
    mixer, ffn = TimeMix(hidden=64, width=64), ChannelMix(hidden=64, intermediate=256)
    assert mixer.parameters == 4 * 64 * 64 + 5 * 64 + 2 * 64
    assert ffn.parameters == 64 * 64 + 2 * 64 * 256 + 2 * 64 + 2 * 64
    assert mixer.cache()[0].bytes(1000.0, BF16) == 3 * 64 * 4 + 64 * 2
    assert ffn.cache()[0].bytes(1000.0, BF16) == 64 * 2
