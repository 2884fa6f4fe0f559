"""keep_parts: an encoder with some of its layers, heads, neurons and words; the weights are those that it had."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_unflatten

from bert_playground.models.bert.config import head_size_of
from bert_playground.models.bert.names import Weights
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import family_of
from bert_playground.models.huggingface import load_weights
from bert_playground.models.tokenwise import named_parameters

WORDS = "embeddings.words.weight"
TOKEN_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
FULL = "full_attention"  # in layer_types
Places = Mapping[int, Sequence[int]]  # layer of the full encoder → what it keeps, ascending


def keep_parts(
    model: BertWithHead,
    layers: Sequence[int],
    heads: Places | None = None,
    neurons: Places | None = None,
) -> BertWithHead:
    """The same model with these layers, and of each of them these heads and neurons, in evaluation mode.

    Args:
        model: full weights, no adapters; it is left as it is.
        layers: ascending; the first one is 0, as ModernBERT's first layer has no norm that another could take over.
        heads: equally many for each layer; None: all.
        neurons: equally many for each layer; None: all.
    """
    config = model.encoder.config
    weights = {
        name: value
        for name, value in named_parameters(model.encoder).items()
        if not name.startswith("layers.")
    }
    for place, layer in enumerate(layers):
        own = _under(f"layers.{layer}.", named_parameters(model.encoder))
        if heads is not None:
            own = _keep_heads(own, heads[layer], config.num_attention_heads)
        if neurons is not None:
            own = _keep_neurons(own, neurons[layer])
        weights |= {f"layers.{place}.{name}": value for name, value in own.items()}
    return rebuild(model, _smaller_config(config, layers, heads, neurons), weights)


def keep_words(model: BertWithHead, kept: np.ndarray[Any, Any]) -> BertWithHead:
    """The same model with the vectors of these token ids, ascending; ids are their new places."""
    weights, config = named_parameters(model.encoder), model.encoder.config
    weights[WORDS] = weights[WORDS][mx.array(kept.astype(np.int32))]
    changes: dict[str, Any] = {"vocab_size": len(kept)}
    place = {int(old): new for new, old in enumerate(kept)}
    for name in TOKEN_IDS:
        old = getattr(config, name, None)
        if old is not None:
            # An id that no row has any more says nothing; BERT's pad may not be left out.
            changes[name] = place.get(
                old, 0 if family_of(model).config.model_type == "bert" else None
            )
    changes["numeric_tokens"] = tuple(
        (place[start], place[end - 1] + 1) for start, end in config.numeric_tokens
    )
    return rebuild(model, replace(config, **changes), weights)


def rebuild(model: BertWithHead, config: Any, weights: Weights) -> BertWithHead:
    """A model with an encoder of this config and these weights, and a copy of the head, in evaluation mode."""
    encoder = family_of(model).core(config)
    report = load_weights(encoder, weights)
    assert not report.missing, report.missing
    head = type(model.head).from_config(model.head.config)
    head.update(tree_unflatten(list(named_parameters(model.head).items())))
    smaller = BertWithHead(encoder, head, model.pretrained_dir)
    smaller.encoder.dtype = model.encoder.dtype
    smaller.eval()
    return smaller


def _under(prefix: str, weights: Weights) -> Weights:
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def _keep_heads(weights: Weights, heads: Sequence[int], num_heads: int) -> Weights:
    """Rows of queries, keys and values, and columns of the output, of these heads."""
    kept, changed = mx.array(list(heads)), dict(weights)
    for name in ("attention.qkv.weight", "attention.qkv.bias"):
        if name in weights:
            rows = weights[name].reshape(3, num_heads, -1, *weights[name].shape[1:])
            changed[name] = rows[:, kept].reshape(-1, *weights[name].shape[1:])
    output = weights["attention.output.weight"]
    columns = output.reshape(output.shape[0], num_heads, -1)[:, kept]
    changed["attention.output.weight"] = columns.reshape(output.shape[0], -1)
    return changed


def _keep_neurons(weights: Weights, neurons: Sequence[int]) -> Weights:
    """Rows of `up`, both halves where it is gated, and columns of `down`."""
    kept, changed = mx.array(list(neurons)), dict(weights)
    down = weights["feed_forward.down.weight"]
    changed["feed_forward.down.weight"] = down[:, kept]
    for name in ("feed_forward.up.weight", "feed_forward.up.bias"):
        if name in weights:
            rows = weights[name].reshape(-1, down.shape[1], *weights[name].shape[1:])
            changed[name] = rows[:, kept].reshape(-1, *weights[name].shape[1:])
    return changed


def _smaller_config(
    config: Any, layers: Sequence[int], heads: Places | None, neurons: Places | None
) -> Any:
    changes: dict[str, Any] = {"num_hidden_layers": len(layers)}
    if getattr(config, "layer_types", None):
        types = tuple(config.layer_types[layer] for layer in layers)
        changes |= {"layer_types": types, "global_attn_every_n_layers": _every(types)}
    if heads is not None:
        changes["num_attention_heads"] = len(heads[layers[0]])
        changes["head_dim"] = head_size_of(config)
    if neurons is not None:
        count = len(neurons[layers[0]])
        is_ruled = hasattr(config, "feed_forward_size")
        changes["feed_forward_size" if is_ruled else "intermediate_size"] = count
    return replace(config, **changes)


def _every(types: Sequence[str]) -> int:
    """The n for which each n-th layer sees the whole row, which is all that transformers 4 knows; its own 3 if none fits."""
    fitting = (
        n
        for n in range(1, len(types) + 1)
        if all((kind == FULL) == (place % n == 0) for place, kind in enumerate(types))
    )
    return next(fitting, 3)
