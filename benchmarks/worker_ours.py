"""Our side of versus_peers.py: the same work through bert_playground's own models, heads and train step."""

import argparse
import json
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten
from workload import SIZES, make_rows, serve

from bert_playground import __version__, kernels
from bert_playground.data.core.types import Batch
from bert_playground.memory import fit_cache_limit
from bert_playground.models.bert.config import BertConfig
from bert_playground.models.bert.core import BertLayer
from bert_playground.models.factory import create_model
from bert_playground.models.tokenwise import cast_embeddings, prepack_weights
from bert_playground.tokens import Tokens
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.step import make_train_step

DTYPES = {"f32": mx.float32, "bf16": mx.bfloat16}


def make_tokens(ids: np.ndarray, mask: np.ndarray) -> Tokens:
    """The rows packed when the kernels take them so, else padded as the peers see them."""
    if not kernels.is_native():
        return Tokens(mx.array(ids), None if mask.all() else mx.array(mask == 1))
    ends = np.concatenate([[0], mask.sum(axis=1).cumsum()]).astype(np.int32)
    return Tokens(mx.array(ids[mask == 1].astype(np.int32)), cu_seqlens=mx.array(ends))


def layer_step(case: dict) -> Callable[[], object]:
    """Forward, or forward and backward to input and all parameters with a given cotangent."""
    _, width, _, heads, inner = SIZES["bert-base"]
    layer = BertLayer(
        BertConfig(
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=inner,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    ids = np.ones((case["batch"], case["length"]), np.int64)
    tokens = make_tokens(ids, ids)
    x = mx.random.normal((*tokens.input_ids.shape, width)).astype(DTYPES[case["dtype"]])
    cotangent = mx.random.normal(x.shape).astype(x.dtype)
    mx.eval(layer.parameters(), x, cotangent)
    names, weights = zip(*tree_flatten(layer.parameters()), strict=True)
    if not case["backward"]:
        layer.eval()
        prepack_weights(layer, x.dtype)

    def forward(*leaves: mx.array) -> mx.array:
        layer.update(tree_unflatten(list(zip(names, leaves[1:], strict=True))))
        return layer(leaves[0], tokens.cu_seqlens, None)

    def both() -> None:
        mx.eval(*mx.vjp(forward, [x, *weights], [cotangent]))

    return both if case["backward"] else lambda: mx.eval(layer(x, tokens.cu_seqlens, None))


def adamw_step(case: dict) -> Callable[[], object]:
    """The fused AdamW on 110 arrays of a million parameters."""
    make = lambda: {f"array{i}": mx.random.normal((1000, 1000)) for i in range(110)}  # noqa: E731
    state = {"parameters": make(), "gradients": make()}
    optimizer = AdamW(weight_decay=0.01)
    state["moments"] = optimizer.create_moments(state["parameters"])
    mx.eval(state)
    one = mx.array(1.0)

    def step() -> None:
        parameters, moments = optimizer.update(
            state.pop("parameters"),
            state["gradients"],
            state.pop("moments"),
            learning_rate=mx.array(1e-5),
            step=one,
            gradient_scale=one,
        )
        state.update(parameters=parameters, moments=moments)
        mx.eval(parameters, moments)

    return step


def make_model(case: dict) -> nn.Module:
    """Random weights of the published size, with a two-class head."""
    vocabulary, width, layers, heads, inner = SIZES[case["model"]]
    name = "modernbert" if case["model"].startswith("modernbert") else "bert"
    model = create_model(
        name,
        head_type="multiclass",
        num_labels=2,
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
    )
    model.encoder.dtype = DTYPES.get(case["dtype"], mx.bfloat16)
    mx.eval(model.parameters())
    return model


def train_step(case: dict) -> Callable[[], object]:
    """Forward, backward, clipping and AdamW; bf16 is bf16 activations over f32 weights."""
    model = make_model(case).train()
    ids, mask, labels = make_rows(case)
    batch = Batch(make_tokens(ids, mask), mx.array(labels.astype(np.int32)), mx.arange(len(labels)))
    optimizer = AdamW(weight_decay=0.01)
    take = make_train_step(model, optimizer, max_grad_norm=1.0, use_compilation=False)
    state = {"moments": optimizer.create_moments(model.trainable_parameters()), "step": 0}
    mx.eval(state["moments"])

    def step() -> None:
        state["step"] += 1
        result = take(
            model.trainable_parameters(), state.pop("moments"), [batch], 2e-5, state["step"]
        )
        model.update(result.parameters)
        state["moments"] = result.moments
        mx.eval(result)
        result.loss.item()

    return step


def infer_step(case: dict) -> Callable[[], object]:
    """Logits of one batch, with the model as `Predictor.load` leaves it."""
    model = make_model(case).eval()
    prepack_weights(
        model, mx.int8 if case["dtype"] == "int8" else model.encoder.dtype, drop_original=True
    )
    cast_embeddings(model, model.encoder.dtype)
    tokens = make_tokens(*make_rows(case)[:2])
    return lambda: mx.eval(model(tokens))


def main() -> None:
    """Build the asked work, then answer the driver."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", required=True)
    case = json.loads(parser.parse_args().case)
    mx.random.seed(0)
    makers = {"layer": layer_step, "adamw": adamw_step, "train": train_step, "infer": infer_step}
    step = makers[case["kind"]](case)

    def fitted_step() -> None:
        step()
        fit_cache_limit()

    serve(
        fitted_step,
        {"bert-playground": __version__, "mlx": mx.__version__, "kernels": kernels.describe()},
    )


if __name__ == "__main__":
    main()
