"""Steps, linear layers, collectives and the blocks' operators, on shapes done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from builders import dense, run

from llmroof.blocks.attention import Attention
from llmroof.operators import Linear, Operator, Plan, Step, elementwise, matmul, sequences, tokens
from llmroof.operators.collective import all_gather, all_reduce, all_to_all, send


def by_name(operators: tuple[Operator, ...]) -> dict[str, Operator]:
    return {operator.name: operator for operator in operators}


# --- steps ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "past", "window", "chunk", "pairs"),
    [
        (1, 0, None, None, 1),  # the first token sees itself
        (4, 0, None, None, 1 + 2 + 3 + 4),
        (1, 7, None, None, 8),  # decode: seven cached keys and its own
        (2, 3, None, None, 4 + 5),
        (4, 0, 2, None, 1 + 2 + 2 + 2),
        (2, 3, 2, None, 2 + 2),
        (3, 1, 3, None, 2 + 3 + 3),
        (1, 7, 3, None, 3),
        (4, 0, 100, None, 1 + 2 + 3 + 4),  # a window that is never full
        (5, 0, None, 2, 1 + 2 + 1 + 2 + 1),  # chunks of two start anew
        (2, 3, None, 4, 4 + 1),
        (1, 4, None, 4, 1),
    ],
)
def test_causal_pairs_counted_one_by_one(
    new: float, past: float, window: float | None, chunk: float | None, pairs: float
) -> None:
    assert Step(1.0, new, past).pairs(window, chunk) == pairs


@pytest.mark.parametrize(
    ("new", "past", "window", "chunk", "keys"),
    [
        (1, 7, None, None, 8),
        (4, 0, None, None, 4),
        (1, 7, 3, None, 3),
        (2, 7, 3, None, 4),  # the two queries see keys 6-8 and 7-9: four different ones
        (4, 0, 3, None, 4),  # a prompt shorter than window + new - 1 reads all of it
        (1, 7, None, 4, 4),  # position 8 closes the chunk of 5-8
        (1, 8, None, 4, 1),
        (2, 3, None, 4, 5),
    ],
)
def test_keys_read_counted_one_by_one(
    new: float, past: float, window: float | None, chunk: float | None, keys: float
) -> None:
    assert Step(1.0, new, past).keys(window, chunk) == keys


def test_a_pass_of_several_steps_adds_tokens_and_sequences() -> None:
    steps = (Step(2.0, 8.0), Step(5.0, 1.0, 30.0))
    assert tokens(steps) == 2 * 8 + 5 * 1
    assert sequences(steps) == 2 + 5
    assert steps[1].context == 31


# --- one matrix ----------------------------------------------------------------------


def test_matmul_by_hand() -> None:
    """3 vectors of 4 times [4, 6] in 16 bits."""
    found = matmul("w", (Linear("w", 4, 6, "mlp"),), 3.0, run())
    assert found.flop == 2 * 3 * 4 * 6
    assert found.weight_bytes == 4 * 6 * 2
    assert found.activation_bytes == 3 * 4 * 2 + 3 * 6 * 2
    assert found.kv_bytes == 0
    assert found.bytes == 48 + 60
    assert found.compute == "bf16"


def test_matmul_with_bias_reads_it() -> None:
    found = matmul("w", (Linear("w", 4, 6, "mlp", bias=True),), 1.0, run())
    assert found.weight_bytes == (4 * 6 + 6) * 2


def test_merged_matrices_read_their_input_once() -> None:
    gate, up = Linear("gate", 4, 6, "mlp"), Linear("up", 4, 6, "mlp")
    merged = matmul("gate_up", (gate, up), 3.0, run())
    apart = [matmul(one.name, (one,), 3.0, run()) for one in (gate, up)]
    assert merged.flop == sum(one.flop for one in apart)
    assert merged.weight_bytes == sum(one.weight_bytes for one in apart)
    assert merged.bytes == sum(one.bytes for one in apart) - 3 * 4 * 2


@pytest.mark.parametrize(
    ("precision", "compute", "weight", "values_in"),
    [
        ("bf16", "bf16", 2.0, 2),
        ("fp16", "fp16", 2.0, 2),
        ("fp32", "fp32", 4.0, 4),
        ("fp8", "fp8", 1.0, 1),
        ("int8", "int8", 1.0, 1),
        ("w8a16", "bf16", 1.0, 2),  # weight-only: expanded, then multiplied in 16 bits
        ("w4a16", "bf16", (4 + 16 / 128) / 8, 2),  # 16-bit scale per 128 values: 4.125 bits
        ("mxfp4", "bf16", (4 + 8 / 32) / 8, 2),
        ("nvfp4", "fp4", (4 + 8 / 16) / 8, (4 + 8 / 16) / 8),
    ],
)
def test_matmul_in_each_precision(
    precision: str, compute: str, weight: float, values_in: float
) -> None:
    """Weights at their stored width with scales, results always in the base format."""
    how = run(precision)
    found = matmul("w", (Linear("w", 128, 256, "mlp"),), 1.0, how)
    assert found.compute == compute
    assert found.weight_bytes == 128 * 256 * weight
    assert found.activation_bytes == 128 * values_in + 256 * how.precision.base.bytes
    assert found.flop == 2 * 128 * 256


def test_shards_of_a_matrix() -> None:
    column, row = Linear("c", 8, 12, "mlp"), Linear("r", 8, 12, "mlp", "inputs")
    assert column.local(4) == (8, 3)
    assert row.local(4) == (2, 12)
    assert Linear("n", 8, 12, "mlp", "none").local(4) == (8, 12)
    # two KV heads over four devices: each shard stands twice
    assert Linear("k", 8, 12, "mlp", limit=2).local(4) == (8, 6)


def test_elementwise_work_costs_traffic_only_when_not_fused() -> None:
    apart = elementwise("norm", values=40.0, ops=70.0, weights=8.0, run=run(fusion="none"))
    fused = elementwise("norm", values=40.0, ops=70.0, weights=8.0, run=run())
    assert (apart.flop, apart.activation_bytes, apart.fused_bytes) == (70, 80, 0)
    assert (fused.flop, fused.activation_bytes, fused.fused_bytes) == (0, 0, 80)
    assert apart.weight_bytes == fused.weight_bytes == 8 * 2


# --- collectives ---------------------------------------------------------------------


def test_ring_traffic_per_device() -> None:
    """1,200 bytes over four devices: a ring all-reduce sends 2·3/4 of the message."""
    assert all_reduce("r", 1200.0, 4)[0].network_bytes == 1800
    assert all_gather("g", 1200.0, 4)[0].network_bytes == 900
    assert all_to_all("a", 1200.0, 4)[0].network_bytes == 900
    assert send("s", 1200.0, 1)[0].network_bytes == 1200


def test_a_single_device_sends_nothing() -> None:
    assert all_reduce("r", 1200.0, 1) == all_gather("g", 1200.0, 1) == ()
    assert all_to_all("a", 1200.0, 1) == send("s", 1200.0, 0) == ()


# --- one layer -----------------------------------------------------------------------

LAYER = Attention(hidden=8, heads=4, kv_heads=2, head_dim=3)


def test_attention_of_one_decode_step_by_hand() -> None:
    """B=5, one new token, 6 cached: 4 heads of 3 over 2 KV heads, 16 bits."""
    found = by_name(LAYER.operators((Step(5.0, 1.0, 6.0),), run()))
    core = found["attention"]
    assert core.flop == 5 * 7 * (4 * 4 * 3)  # 4·d per head and pair
    assert core.kv_bytes == 5 * 7 * (2 * 2 * 3) * 2  # keys and values of the KV heads only
    assert core.activation_bytes == 5 * (2 * 4 * 3) * 2  # queries in, result out
    qkv = found["qkv_proj"]
    assert qkv.flop == 2 * 5 * 8 * (12 + 6 + 6)
    assert qkv.kv_bytes == 5 * (6 + 6) * 2  # the one new token, written once
    assert qkv.activation_bytes == 5 * (8 + 12) * 2
    assert found["o_proj"].flop == 2 * 5 * 12 * 8


def test_unfused_projections_are_the_merged_one_in_parts() -> None:
    merged = by_name(LAYER.operators((Step(5.0, 1.0, 6.0),), run()))["qkv_proj"]
    apart = by_name(LAYER.operators((Step(5.0, 1.0, 6.0),), run(fusion="none")))
    parts = [apart[name] for name in ("q_proj", "k_proj", "v_proj")]
    assert sum(part.flop for part in parts) == merged.flop
    assert sum(part.weight_bytes for part in parts) == merged.weight_bytes
    assert sum(part.kv_bytes for part in parts) == merged.kv_bytes
    assert sum(part.bytes for part in parts) == merged.bytes + 2 * (5 * 8 * 2)  # input read 3x


def test_naive_attention_pays_for_its_scores_and_flash_does_not() -> None:
    """B=1, a prompt of 4: 4 heads of 4x4 scores, written, read, written, read: 16 bits."""
    step = (Step(1.0, 4.0),)
    flash = by_name(LAYER.operators(step, run()))["attention"]
    naive = by_name(LAYER.operators(step, run(attention="naive")))
    scores = 4 * (4 * 4) * 2
    assert naive["softmax"].activation_bytes == 2 * scores
    assert naive["qk_matmul"].activation_bytes == 4 * 12 * 2 + scores
    assert naive["av_matmul"].activation_bytes == 4 * 12 * 2 + scores
    total = sum(naive[name].bytes for name in ("qk_matmul", "softmax", "av_matmul"))
    assert total == flash.bytes + 4 * scores
    assert naive["qk_matmul"].flop + naive["av_matmul"].flop == flash.flop
    assert flash.flop == 10 * (4 * 4 * 3)  # 1 + 2 + 3 + 4 pairs


def test_tensor_parallel_attention_halves_what_a_device_does() -> None:
    one = by_name(LAYER.operators((Step(5.0, 1.0, 6.0),), run()))
    two = by_name(LAYER.operators((Step(5.0, 1.0, 6.0),), run(tp=2)))
    four = by_name(LAYER.operators((Step(5.0, 1.0, 6.0),), run(tp=4)))
    assert two["attention"].flop == one["attention"].flop / 2
    assert two["attention"].kv_bytes == one["attention"].kv_bytes / 2
    assert four["attention"].flop == one["attention"].flop / 4
    # two KV heads on four devices: each holds one whole head, replicated
    assert four["attention"].kv_bytes == one["attention"].kv_bytes / 2
    assert two["attention_all_reduce"].network_bytes == 5 * 8 * 2 * (2 * 1 / 2)
    assert "attention_all_reduce" not in one


def test_without_a_cache_keys_are_activations() -> None:
    found = by_name(LAYER.operators((Step(5.0, 7.0),), run(kv_cache=False)))
    assert sum(operator.kv_bytes for operator in found.values()) == 0
    kept = by_name(LAYER.operators((Step(5.0, 7.0),), run()))
    assert found["attention"].bytes == kept["attention"].bytes


# --- a whole model -------------------------------------------------------------------


def test_a_tiny_model_by_hand() -> None:
    """2 layers of width 8, 4 heads of 2, gated MLP of 16, vocabulary of 10."""
    model = dense()
    layer = 4 * 8 * 8 + 8 + 3 * 8 * 16 + 8
    assert layer == 656
    assert model.parameters == 80 + 2 * layer + 8 + 80 == 1480
    assert model.kv_cache_bytes_per_token(run().precision) == 2 * (2 * 8) * 2
    assert model.weights_bytes(run().precision) == 2 * 1480


def test_a_decode_step_of_the_tiny_model_by_hand() -> None:
    """One sequence, three tokens cached."""
    found = dense().operators((Step(1.0, 1.0, 3.0),), run())
    flop = sum(op.flop * op.count for op in found)
    assert flop == 2 * (2 * (256 + 384) + 4 * 8 * 4) + 2 * 80 == 2976
    weights = sum(op.weight_bytes * op.count for op in found)
    assert weights == 2 * (2 * 656 + 8 + 80) + 2 * 8  # all but the table, of that one row
    cache = sum(op.kv_bytes * op.count for op in found)
    assert cache == 2 * (4 * 32 + 32)  # four tokens read, one written, 32 bytes each
    activations = sum(op.activation_bytes * op.count for op in found)
    qkv, core, out, up, down = 16 + 16, 16 + 16, 16 + 16, 16 + 64, 32 + 16
    assert activations == 16 + 2 * (qkv + core + out + up + down) + 16 + 20


def test_logits_are_of_the_last_position_only() -> None:
    """A prompt of 3 in 2 sequences: 2 rows in the head, 6 in every other matrix."""
    found = dense().operators((Step(2.0, 3.0),), run())
    flop = sum(op.flop * op.count for op in found)
    assert flop == 2 * (6 * 2 * (256 + 384) + 2 * 4 * 8 * 6) + 2 * 2 * 80 == 16448
    assert by_name(found)["lm_head"].flop == 2 * 2 * 8 * 10


def test_arrays_give_arrays_of_the_same_numbers() -> None:
    batches = np.array([1.0, 2.0, 64.0])
    together = dense().operators((Step(batches, 1.0, 3.0),), run())
    for index, batch in enumerate(batches):
        alone = dense().operators((Step(float(batch), 1.0, 3.0),), run())
        for many, one in zip(together, alone, strict=True):
            assert np.broadcast_to(many.flop, 3)[index] == one.flop
            assert np.broadcast_to(many.bytes, 3)[index] == one.bytes


def test_large_shapes_do_not_overflow() -> None:
    """1e6 tokens squared times 16,384 times 1,024 sequences is above 2^63."""
    wide = Attention(hidden=16384, heads=128, kv_heads=128, head_dim=128)
    prompt = 1000.0 * 1000.0
    core = by_name(wide.operators((Step(1024.0, prompt),), run()))["attention"]
    assert core.flop == pytest.approx(4 * 1024 * 16384 * (prompt * (prompt + 1) / 2), rel=1e-15)
    assert core.flop > 2.0**63


def test_a_plan_counts_its_devices() -> None:
    assert Plan(tp=4, pp=2, dp=3).num_gpus == 24
    assert Plan(tp=4, dp=2, ep=4).expert_tp == 2
