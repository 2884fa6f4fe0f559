"""The benchmark: evaluated times and the keys that programs read."""

import json
import time

import mlx.core as mx
import pytest

from bert_playground.bench import run_benchmark
from bert_playground.bench.timing import Timing, measure
from bert_playground.models.factory import create_model
from bert_playground.training.core.step import can_compile

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}


def test_median_best_and_spread() -> None:
    timing = Timing((4.0, 1.0, 2.0, 3.0, 5.0))
    assert (timing.median, timing.best, timing.spread) == (3.0, 1.0, pytest.approx(2 / 3))
    assert Timing((1.0,)).spread == 0


def test_warm_up_is_not_timed() -> None:
    naps = iter([0.05, 0.0, 0.0, 0.0])
    assert max(measure(lambda: time.sleep(next(naps)), repetitions=3, warm_up=1).seconds) < 0.04


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
@pytest.mark.quick_for("bert")
def test_a_benchmark_gives_rates_memory_device_and_versions(architecture: str) -> None:
    model = create_model(architecture, num_labels=2, **SIZES)
    result = run_benchmark(model, batch_size=2, seq_length=8, steps=5, precision="f32")
    json.dumps(result)
    assert min(result["forward_tokens_per_second"], result["step_tokens_per_second"]) > 0
    # A step holds a forward pass; the best of several times is what other processes disturb least.
    best = {name: case["seconds_best"] for name, case in result["cases"].items()}
    assert best["forward"] < best["step"]
    assert result["peak_memory_bytes"] > 0
    assert {"device", "versions", "precision", "model", "cases"} <= set(result)
    assert set(result["cases"]) == {"forward", "step"}


@pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
@pytest.mark.medium
def test_compilation_is_compared_when_asked() -> None:
    model = create_model("bert", num_labels=3, **SIZES)
    result = run_benchmark(model, batch_size=2, seq_length=8, steps=2, test_compilation=True)
    assert set(result["cases"]) == {"forward", "step", "forward_compiled", "step_compiled"}


@pytest.mark.medium
def test_the_timed_step_really_trains() -> None:
    model = create_model("bert", num_labels=2, **SIZES)
    before = mx.array(model.head.classifier.weight)
    run_benchmark(model, batch_size=2, seq_length=8, steps=1, precision="f32")
    assert not mx.array_equal(before, model.head.classifier.weight)


def test_rows_longer_than_the_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="32 positions; lower --seq-length"):
        run_benchmark(create_model("bert", num_labels=2, **SIZES), seq_length=33)
