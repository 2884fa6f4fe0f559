"""add_head: the six heads as ONNX nodes: logits as transformers has them, and scores, which are our answers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bert_playground.export.onnx.encoders import Inputs, add_real
from bert_playground.export.onnx.graph import Graph
from bert_playground.lookup import look_up
from bert_playground.models.heads import BaseHead
from bert_playground.models.heads.losses import CERTAIN, SMALLEST_GAP
from bert_playground.models.heads.numeric_features import NUM_STEPS
from bert_playground.models.heads.pooling import LOWEST
from bert_playground.models.heads.regression import ONE_BEFORE_SOFTPLUS, SMALLEST_DEVIATION


def add_head(graph: Graph, head: BaseHead, hidden: str, inputs: Inputs, *, joins: bool) -> None:
    """Pool, transform, classify; declare the outputs `logits` and `scores`.

    A fitted temperature is divided into the logits. A binary head has two of them, whose softmax is the sigmoid of our
    one, as in a Hugging Face folder.

    Args:
        graph: with the encoder in it.
        head: any of HEADS.
        hidden: [B, T, H].
        inputs: of the graph.
        joins: whether the head reads numbers beside the text.
    """
    with graph.scope("head"):
        pooled = add_pooling(graph, head, hidden, inputs)
        if joins:
            pooled = graph.add(pooled, _add_numbers(graph, head, inputs))
        pooled = _transform(graph, head, pooled)
        logits = graph.linear(pooled, head.classifier, "classifier")  # [B, L]
        logits = look_up(FORWARDS, head.head_type, "head")(graph, head, logits, pooled)
        if (temperature := head.config.temperature_scaling) != 1 and head.head_type in TEMPERED:
            logits = graph.node("Div", logits, graph.constant(temperature))
        scores = look_up(ANSWERS, head.head_type, "head")(graph, head, logits)
        if head.head_type == "binary":
            half = graph.node("Mul", logits, graph.constant(0.5))
            logits = graph.node("Concat", graph.node("Neg", half), half, axis=1)
    graph.output("logits", logits, ["batch_size", num_logits(head)])
    graph.output("scores", scores, ["batch_size", *score_shape(head)])


def num_logits(head: BaseHead) -> int:
    """The width of the output `logits`."""
    if head.head_type == "binary":
        return 2
    return head.num_labels - 1 if head.head_type == "ordinal" else head.output_size


def score_shape(head: BaseHead) -> tuple[int, ...]:
    """The shape of a row's scores."""
    if head.head_type == "binary":
        return ()
    if head.head_type == "regression":
        return (2,) if head.config.uncertainty_estimation else ()
    return (head.num_labels,)


def expected_logits(head: BaseHead, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What our head's logits [B] or [B, L] are in the output `logits`."""
    if head.head_type in TEMPERED:
        logits = logits / np.float32(head.config.temperature_scaling)
    if head.head_type == "binary":
        return np.stack([-logits / 2, logits / 2], axis=1)
    return logits[:, None] if logits.ndim == 1 else logits


def add_pooling(graph: Graph, head: BaseHead, hidden: str, inputs: Inputs) -> str:
    """One vector per row, [B, H]."""
    name = str(head.config.pooling)
    if name == "cls":
        return graph.squeeze(graph.slice(hidden, 0, 1, 1), 1)
    real = graph.axes(add_real(graph, inputs), 2)  # [B, T, 1]
    if name == "max":
        return graph.highest(graph.node("Where", real, hidden, graph.constant(LOWEST)), 1)
    zero = graph.constant(0)
    if name == "mean":
        total = graph.total(graph.node("Where", real, hidden, zero), 1, keepdims=False)
        count = graph.cast(graph.total(inputs.attention_mask, 1), "float32")
        return graph.node("Div", total, graph.node("Max", count, graph.constant(1)))
    scores = graph.linear(hidden, head.attention_pooler, "attention_pooler")
    scale = graph.constant(float(head.config.hidden_size or 1) ** -0.5)
    scores = graph.node("Mul", scores, scale)
    scores = graph.node("Where", real, scores, graph.constant(LOWEST))
    shares = graph.node("Softmax", scores, axis=1)
    shares = graph.node("Where", real, shares, zero)
    return graph.total(graph.node("Mul", shares, hidden), 1, keepdims=False)


def _add_numbers(graph: Graph, head: BaseHead, inputs: Inputs) -> str:
    """What the numbers beside the text add to the pooled vector; see NumericFeatureEncoder."""
    assert inputs.numbers is not None
    with graph.scope("numbers"):
        is_missing = graph.node("IsNaN", inputs.numbers)
        known = graph.node("Where", is_missing, graph.constant(0), inputs.numbers)
        spread = graph.node("Mul", graph.axes(known, 2), graph.constant(NUM_STEPS))
        ramps = graph.node("Sub", spread, graph.constant(np.arange(NUM_STEPS)))
        flags = graph.axes(graph.cast(is_missing, "float32"), 2)
        steps = graph.node("Concat", graph.clip(ramps, 0, 1), flags, axis=2)
        steps = graph.reshape(steps, 0, head.config.num_numbers * (NUM_STEPS + 1))
        inner = graph.activate(graph.linear(steps, head.numbers.first, "first"), "gelu")
        return graph.linear(inner, head.numbers.last, "last")


def _transform(graph: Graph, head: BaseHead, pooled: str) -> str:
    kind = head.config.transform
    if kind in ("tanh", "dropout_tanh"):
        return graph.node("Tanh", graph.linear(pooled, head.dense, "dense"))
    if kind == "gelu_norm":
        inner = graph.activate(graph.linear(pooled, head.dense, "dense"), "gelu")
        return graph.norm(inner, head.norm, "norm")
    return pooled


def _plain(graph: Graph, head: BaseHead, logits: str, pooled: str) -> str:
    del graph, head, pooled
    return logits


def _against_cut_points(graph: Graph, head: BaseHead, logits: str, pooled: str) -> str:
    del pooled
    if not head.config.use_cumulative_link:
        return logits
    return graph.node("Sub", logits, graph.table(np.array(head.cut_points())[None], "cut_points"))


def _with_steps(graph: Graph, head: BaseHead, logits: str, pooled: str) -> str:
    if not head.config.use_temporal_features:
        return logits
    temporal = head.temporal
    with graph.scope("temporal"):
        mixed = graph.axes(graph.linear(pooled, temporal.pooled, "pooled"), 1)
        mixed = graph.add(mixed, graph.weight(temporal.steps, "steps"))
        added = graph.linear(graph.activate(mixed, "gelu"), temporal.readout, "readout")
        return graph.add(logits, graph.squeeze(added, 2))


def _sigmoid(graph: Graph, head: BaseHead, logits: str) -> str:
    del head
    return graph.node("Sigmoid", logits)


def _of_one(graph: Graph, head: BaseHead, logits: str) -> str:
    return graph.squeeze(_sigmoid(graph, head, logits), 1)


def _softmax(graph: Graph, head: BaseHead, logits: str) -> str:
    del head
    return graph.node("Softmax", logits, axis=-1)


def _numbers(graph: Graph, head: BaseHead, logits: str) -> str:
    if not head.config.uncertainty_estimation:
        return graph.squeeze(logits, 1)
    mean, raw = graph.split(logits, 1, 1)
    deviation = graph.node("Softplus", graph.add(raw, graph.constant(ONE_BEFORE_SOFTPLUS)))
    deviation = graph.add(deviation, graph.constant(SMALLEST_DEVIATION))
    return graph.node("Concat", mean, deviation, axis=1)


def _ordered(graph: Graph, head: BaseHead, logits: str) -> str:
    """The probabilities of ordered classes, by their logarithms as in models/heads/losses.py."""
    one = graph.slice(logits, 0, 1, 1)
    if not head.config.use_cumulative_link:
        zero = graph.node("Mul", one, graph.constant(0))
        along = graph.constant(1, "int64")
        passed = graph.node("CumSum", _log_sigmoid(graph, logits), along)
        reached = graph.node("Concat", zero, passed, axis=1)
        stayed = _log_sigmoid(graph, graph.node("Neg", logits))
        logs = graph.add(reached, graph.node("Concat", stayed, zero, axis=1))
        return graph.node("Softmax", logs, axis=-1)
    certain = graph.constant(CERTAIN)
    edge = graph.add(graph.node("Mul", one, graph.constant(0)), certain)
    above = graph.node("Concat", edge, logits, axis=1)
    below = graph.node("Concat", logits, graph.node("Neg", edge), axis=1)
    gap = graph.node("Max", graph.node("Sub", above, below), graph.constant(SMALLEST_GAP))
    room = graph.node("Log", _one_minus_exp(graph, gap))
    ends = graph.add(_log_sigmoid(graph, above), _log_sigmoid(graph, graph.node("Neg", below)))
    return graph.node("Softmax", graph.add(ends, room), axis=-1)


def _one_minus_exp(graph: Graph, gap: str) -> str:
    """1 - e^-gap of positive numbers; tanh keeps the digits of small ones: 2 t / (1 + t) with t = tanh(gap / 2)."""
    bent = graph.node("Tanh", graph.node("Mul", gap, graph.constant(0.5)))
    twice = graph.node("Mul", bent, graph.constant(2))
    return graph.node("Div", twice, graph.add(bent, graph.constant(1)))


def _log_sigmoid(graph: Graph, x: str) -> str:
    return graph.node("Neg", graph.node("Softplus", graph.node("Neg", x)))


TEMPERED = ("binary", "multiclass")  # the heads that divide by a temperature
FORWARDS: dict[str, Callable[[Graph, Any, str, str], str]] = {
    "binary": _plain,
    "multiclass": _plain,
    "multilabel": _plain,
    "ordinal": _against_cut_points,
    "regression": _plain,
    "timeseries": _with_steps,
}
ANSWERS: dict[str, Callable[[Graph, Any, str], str]] = {
    "binary": _of_one,
    "multiclass": _softmax,
    "multilabel": _sigmoid,
    "ordinal": _ordered,
    "regression": _numbers,
    "timeseries": lambda graph, head, logits: logits,
}
