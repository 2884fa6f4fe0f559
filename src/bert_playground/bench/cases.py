"""What is timed: forward and train step of one model on full rows, compiled and not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground import kernels
from bert_playground.bench.timing import Timing, measure
from bert_playground.data.core.types import Batch
from bert_playground.environment import describe_environment
from bert_playground.inference import evaluation_mode
from bert_playground.memory import fit_cache_limit, peak_memory_bytes
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.tokenwise import prepack_weights
from bert_playground.tokens import Tokens
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.precision import set_precision
from bert_playground.training.core.step import can_compile, make_train_step
from bert_playground.training.summary import count_parameters

# Makes a repetition of a model and a batch that something else than MLX computes.
MakeWork = Callable[[BertWithHead, Batch], Callable[[], object]]


def run_benchmark(
    model: BertWithHead,
    *,
    batch_size: int = 32,
    seq_length: int = 128,
    steps: int = 10,
    precision: str = "auto",
    test_compilation: bool = False,
    also: Mapping[str, MakeWork] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Time the forward pass and the train step (forward, backward, clipping, AdamW) on rows without padding.

    Args:
        model: any encoder with a head; its weights are trained on noise, so do not keep it.
        batch_size: rows per step.
        seq_length: tokens per row.
        steps: timed repetitions of each case.
        precision: "f32", "bf16" or "auto".
        test_compilation: time each case with `mx.compile` as well.
        also: further cases by name, timed before any training step.
        seed: of the token ids.

    Returns:
        A JSON-ready document. `forward_tokens_per_second` and `step_tokens_per_second` are from the medians.

    Raises:
        ValueError: rows longer than the encoder allows.
    """
    if seq_length > model.encoder.max_length:
        raise ValueError(
            f"seq_length is {seq_length}, but the encoder has {model.encoder.max_length} positions; lower --seq-length"
        )
    precision = set_precision(model, precision)
    prepack_weights(model, model.encoder.dtype)  # as `bert predict` does
    batch = make_batch(model, batch_size, seq_length, seed)
    num_tokens = batch_size * seq_length
    mx.reset_peak_memory()
    cases: dict[str, Timing] = {
        name: measure(make(model, batch), repetitions=steps) for name, make in (also or {}).items()
    }
    for use_compilation in (False, True) if test_compilation and can_compile() else (False,):
        suffix = "_compiled" if use_compilation else ""
        forward = make_forward(model, batch, use_compilation=use_compilation)
        with evaluation_mode(model):
            cases[f"forward{suffix}"] = measure(forward, repetitions=steps)
        model.train()
        cases[f"step{suffix}"] = measure(
            make_step(model, batch, use_compilation=use_compilation), repetitions=steps
        )
    return {
        "forward_tokens_per_second": num_tokens / cases["forward"].median,
        "step_tokens_per_second": num_tokens / cases["step"].median,
        "peak_memory_bytes": peak_memory_bytes(),
        "peak_buffer_bytes": mx.get_peak_memory(),
        "cases": {
            name: {**timing.to_dict(), "tokens_per_second": num_tokens / timing.median}
            for name, timing in cases.items()
        },
        "model": describe_model(model),
        "batch_size": batch_size,
        "seq_length": seq_length,
        "precision": precision,
        **describe_environment(),
    }


def describe_model(model: BertWithHead) -> dict[str, Any]:
    """The sizes that decide the cost."""
    config = model.encoder.config
    return {
        "architecture": type(model.encoder).__name__,
        "num_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "parameters": count_parameters(model),
    }


def make_batch(model: BertWithHead, batch_size: int, seq_length: int, seed: int) -> Batch:
    """Random ids and labels, packed where the native kernels are, else padded without any padding."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, model.encoder.config.vocab_size, (batch_size, seq_length))
    if kernels.is_native():
        offsets = np.arange(batch_size + 1, dtype=np.int32) * seq_length
        tokens = Tokens(mx.array(ids.reshape(-1).astype(np.int32)), cu_seqlens=mx.array(offsets))
    else:
        tokens = Tokens(mx.array(ids.astype(np.int32)))
    if model.head.head_type == "regression":
        labels = mx.array(generator.standard_normal(batch_size).astype(np.float32))
    else:
        num_classes = max(2, model.head.output_size)
        labels = mx.array(generator.integers(0, num_classes, batch_size).astype(np.int32))
    return Batch(tokens, labels, mx.arange(batch_size))


def make_forward(
    model: BertWithHead, batch: Batch, *, use_compilation: bool
) -> Callable[[], object]:
    """A function that computes the logits once."""
    forward = mx.compile(model) if use_compilation else model

    def work() -> None:
        mx.eval(forward(batch.tokens))
        fit_cache_limit()

    return work


def make_step(model: BertWithHead, batch: Batch, *, use_compilation: bool) -> Callable[[], object]:
    """A function that takes one optimizer step, as the trainer does."""
    optimizer = AdamW()
    step = make_train_step(model, optimizer, use_compilation=use_compilation)
    state: dict[str, Any] = {
        "moments": optimizer.create_moments(model.trainable_parameters()),
        "step": 0,
    }
    batches: Sequence[Batch] = (batch,)

    def work() -> None:
        state["step"] += 1
        result = step(
            model.trainable_parameters(), state.pop("moments"), batches, 1e-5, state["step"]
        )
        model.update(result.parameters)
        state["moments"] = result.moments
        mx.eval(result, mx.random.state)
        fit_cache_limit()

    return work
