"""add_encoder: BERT, ModernBERT or NeoBERT as ONNX nodes, masks and rotary positions included."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bert_playground.export.onnx.graph import Graph
from bert_playground.lookup import look_up
from bert_playground.models.bert import BertCore, Encoder, ModernBertCore, NeoBertCore
from bert_playground.models.bert.layers.attention import SelfAttention
from bert_playground.models.bert.layers.feedforward import GatedFeedForward
from bert_playground.models.bert.layers.numeric_embedding import NumericEmbedding

# Added to the scores of hidden keys: finite, so that a query without any key is no NaN.
HIDDEN = float(np.finfo(np.float32).min)


class Inputs(NamedTuple):
    """The inputs of the graph, by the names that transformers gives them; None: the model has no such."""

    input_ids: str  # [B, T] int64
    attention_mask: str  # [B, T] int64, 1 on real tokens
    token_type_ids: str | None = None  # [B, T] int64
    numbers: str | None = None  # [B, F] f32, NaN where missing


def add_inputs(graph: Graph, encoder: Encoder, num_numbers: int) -> Inputs:
    """Declare the inputs of a model with this encoder; rows and tokens are dynamic."""
    shape = ("batch_size", "sequence_length")
    ids = graph.input("input_ids", "int64", shape)
    mask = graph.input("attention_mask", "int64", shape)
    has_types = isinstance(encoder, BertCore)
    types = graph.input("token_type_ids", "int64", shape) if has_types else None
    numbers = None
    if num_numbers:
        numbers = graph.input("numbers", "float32", ("batch_size", num_numbers))
    return Inputs(ids, mask, types, numbers)


def add_encoder(graph: Graph, encoder: Encoder, inputs: Inputs) -> str:
    """The vectors of all tokens, [B, T, H]."""
    with graph.scope("encoder"):
        return look_up(CORES, encoder.config.model_type, "architecture")(graph, encoder, inputs)


def add_real(graph: Graph, inputs: Inputs) -> str:
    """Which tokens are no padding, [B, T] booleans."""
    return graph.cast(inputs.attention_mask, "bool")


class Masks:
    """What is added to attention scores, made once for each window."""

    def __init__(self, graph: Graph, inputs: Inputs) -> None:
        self._graph, self._inputs = graph, inputs
        count = graph.total(inputs.attention_mask, 1)
        is_empty = graph.node("Equal", count, graph.constant([[0]], "int64"))
        visible = graph.node("Or", add_real(graph, inputs), is_empty)
        self._keys = graph.axes(visible, 1, 2)  # [B, 1, 1, T]
        self._masks: dict[int | None, str] = {}

    def of_window(self, half_window: int | None) -> str:
        """[B, 1, 1 or T, T]: 0 for a key that a query may see, else the lowest number."""
        if half_window not in self._masks:
            visible = self._keys if half_window is None else self._near(half_window)
            shown, hidden = self._graph.constant(0), self._graph.constant(HIDDEN)
            self._masks[half_window] = self._graph.node("Where", visible, shown, hidden)
        return self._masks[half_window]

    def _near(self, half_window: int) -> str:
        """Keys at a distance of at most `half_window`; every query sees itself."""
        graph = self._graph
        zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
        length = graph.squeeze(graph.size(self._inputs.input_ids, 1), 0)
        places = graph.node("Range", zero, length, one)
        difference = graph.node("Sub", graph.axes(places, 1), graph.axes(places, 0))
        distance = graph.axes(graph.node("Abs", difference), 0, 1)  # [1, 1, T, T]
        is_near = graph.node("LessOrEqual", distance, graph.constant(half_window, "int64"))
        seen = graph.node("And", is_near, self._keys)
        return graph.node("Or", seen, graph.node("Equal", distance, zero))


class Rotations:
    """The cosines and sines of the positions of a batch, made once for each base."""

    def __init__(self, graph: Graph, inputs: Inputs) -> None:
        self._graph = graph
        self._length = graph.size(inputs.input_ids, 1)
        self._tables: dict[int, tuple[str, str]] = {}

    def of(self, attention: SelfAttention) -> tuple[str, str]:
        """[T, D / 2] each."""
        rotary = attention._rotary
        assert rotary is not None
        if id(rotary) not in self._tables:
            with self._graph.scope(f"rotary_{len(self._tables)}"):
                tables = [
                    self._graph.table(np.array(table), name)
                    for table, name in ((rotary.cosines, "cosines"), (rotary.sines, "sines"))
                ]
            cosines, sines = (self._graph.slice(table, 0, self._length, 0) for table in tables)
            self._tables[id(rotary)] = cosines, sines
        return self._tables[id(rotary)]


def add_attention(
    graph: Graph, x: str, layer: SelfAttention, masks: Masks, rotations: Rotations | None
) -> str:
    """Multi-head attention of rows with themselves, [B, T, H] to [B, T, H]."""
    with graph.scope("attention"):
        width, size = layer.output.num_inputs, layer.output.num_inputs // layer.num_heads
        parts = graph.split(graph.linear(x, layer.qkv, "qkv"), *[width] * 3)
        heads = [
            graph.node(
                "Transpose", graph.reshape(part, 0, 0, layer.num_heads, size), perm=[0, 2, 1, 3]
            )
            for part in parts
        ]  # each [B, N, T, D]
        queries, keys, values = heads
        if rotations is not None:
            queries, keys = (_rotate(graph, part, layer, rotations) for part in (queries, keys))
        queries = graph.node("Mul", queries, graph.constant(size**-0.5))
        scores = graph.node("MatMul", queries, graph.node("Transpose", keys, perm=[0, 1, 3, 2]))
        masked = graph.add(scores, masks.of_window(layer.half_window))
        attended = graph.node("MatMul", graph.node("Softmax", masked, axis=-1), values)
        attended = graph.node("Transpose", attended, perm=[0, 2, 1, 3])
        return graph.linear(graph.reshape(attended, 0, 0, width), layer.output, "output")


def _rotate(graph: Graph, x: str, layer: SelfAttention, rotations: Rotations) -> str:
    """Dimension j turns with j + D / 2."""
    cosines, sines = rotations.of(layer)
    half = layer.output.num_inputs // layer.num_heads // 2
    first, second = graph.split(x, half, half)
    products = [
        graph.node("Mul", *pair)
        for pair in ((first, cosines), (second, sines), (second, cosines), (first, sines))
    ]
    turned = graph.node("Sub", *products[:2]), graph.add(*products[2:])
    return graph.node("Concat", *turned, axis=-1)


def _add_gated(graph: Graph, x: str, layer: GatedFeedForward, activation: str) -> str:
    """down(activation(first half of up(x)) * second half)."""
    with graph.scope("feed_forward"):
        up, down = layer.up, layer.down
        value, gate = graph.split(graph.linear(x, up, "up"), *[up.num_outputs // 2] * 2)
        inner = graph.node("Mul", graph.activate(value, activation), gate)
        return graph.linear(inner, down, "down")


def add_words(graph: Graph, encoder: Encoder, inputs: Inputs) -> str:
    """The vectors of all tokens, with what their numbers add to them, [B, T, H]."""
    with graph.scope("embeddings"):
        table = graph.weight(encoder.embeddings.words.weight, "words")
        x = graph.node("Gather", table, inputs.input_ids)
    if not encoder.num_numbers:
        return x
    with graph.scope("numbers"):
        return graph.add(x, _add_numbers(graph, encoder.numbers, inputs))


def _add_numbers(graph: Graph, layer: NumericEmbedding, inputs: Inputs) -> str:
    """What the value of a number adds to the embedding of its cell's token; see NumericEmbedding."""
    assert inputs.numbers is not None
    count, ramps = layer.num_numbers, layer.num_ramps
    table = graph.table(np.array(layer._number_of_token).astype(np.int64), "number_of_token")
    number = graph.node("Gather", table, inputs.input_ids)  # [B, T]
    last = graph.constant(count - 1, "int64")
    value = graph.node("GatherElements", inputs.numbers, graph.node("Min", number, last), axis=1)
    is_number = graph.node("LessOrEqual", number, last)
    has_value = graph.node("And", is_number, graph.node("Not", graph.node("IsNaN", value)))
    zero = graph.constant(0)
    known = graph.clip(graph.node("Where", has_value, value, zero), 0, 1)
    place = graph.node("Mul", known, graph.constant(ramps))
    ramp = graph.node("Min", graph.node("Floor", place), graph.constant(ramps - 1))
    part = graph.node("Where", has_value, graph.node("Sub", place, ramp), zero)
    start = graph.node("Mul", number, graph.constant(ramps, "int64"))
    slot = graph.add(graph.add(start, graph.cast(ramp, "int64")), graph.constant(1, "int64"))
    slot = graph.node("Where", has_value, slot, graph.constant(0, "int64"))
    weight = np.array(layer.weight, dtype=np.float32)
    below = np.cumsum(weight, axis=1) - weight
    none = np.zeros((1, weight.shape[-1]), np.float32)
    found = [
        graph.node("Gather", graph.table(np.concatenate([none, *each]), name), slot)
        for each, name in ((below, "below"), (weight, "slope"))
    ]
    return graph.add(found[0], graph.node("Mul", graph.axes(part, 2), found[1]))


def _add_bert(graph: Graph, encoder: BertCore, inputs: Inputs) -> str:
    assert inputs.token_type_ids is not None
    embeddings, masks = encoder.embeddings, Masks(graph, inputs)
    x = add_words(graph, encoder, inputs)
    with graph.scope("embeddings"):
        types = graph.weight(embeddings.token_types.weight, "token_types")
        x = graph.add(x, graph.node("Gather", types, inputs.token_type_ids))
        positions = graph.weight(embeddings.positions.weight, "positions")
        x = graph.add(x, graph.slice(positions, 0, graph.size(inputs.input_ids, 1), 0))
        x = graph.norm(x, embeddings.norm, "norm")
    for number, layer in enumerate(encoder.layers):
        with graph.scope(f"layers.{number}"):
            update = add_attention(graph, x, layer.attention, masks, None)
            x = graph.norm(graph.add(x, update), layer.attention_norm, "attention_norm")
            with graph.scope("feed_forward"):
                inner = graph.linear(x, layer.feed_forward.up, "up")
                inner = graph.activate(inner, encoder.config.hidden_act)
                update = graph.linear(inner, layer.feed_forward.down, "down")
            x = graph.norm(graph.add(x, update), layer.feed_forward_norm, "feed_forward_norm")
    return x


def _add_rotary(graph: Graph, encoder: ModernBertCore | NeoBertCore, inputs: Inputs) -> str:
    """ModernBERT and NeoBERT: norm, attention, sum, norm, gated feed-forward, sum."""
    masks, rotations = Masks(graph, inputs), Rotations(graph, inputs)
    activation = getattr(encoder.config, "hidden_activation", "silu")
    x = add_words(graph, encoder, inputs)
    if "norm" in encoder.embeddings:
        x = graph.norm(x, encoder.embeddings.norm, "embeddings.norm")
    for number, layer in enumerate(encoder.layers):
        with graph.scope(f"layers.{number}"):
            before = layer.attention_norm
            normed = x if before is None else graph.norm(x, before, "attention_norm")
            x = graph.add(x, add_attention(graph, normed, layer.attention, masks, rotations))
            normed = graph.norm(x, layer.feed_forward_norm, "feed_forward_norm")
            x = graph.add(x, _add_gated(graph, normed, layer.feed_forward, activation))
    return graph.norm(x, encoder.final_norm, "final_norm")


CORES: dict[str, Callable[[Graph, Any, Inputs], str]] = {
    "bert": _add_bert,
    "modernbert": _add_rotary,
    "neobert": _add_rotary,
}
