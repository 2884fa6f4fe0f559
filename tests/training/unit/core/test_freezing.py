"""Which layers are trained: depths by name, frozen ones, and one more in each epoch."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.training.core import Loop, Schedule, Trainer
from bert_playground.training.core.depth import depth_of, head_depth_of
from bert_playground.training.core.freezing import (
    Unfreezing,
    freeze_below,
    freeze_encoder,
    trained_layers,
)
from bert_playground.training.core.optimizers import AdamW, GroupedOptimizer
from bert_playground.training.core.schedule import SCHEDULES
from bert_playground.training.core.step import can_compile
from bert_playground.training.metrics import make_scorer


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("encoder.embeddings.words.weight", 0),
        ("encoder.numbers.weight", 0),
        ("encoder.layers.0.attention.qkv.weight", 1),
        ("encoder.layers.11.attention.qkv.lora_a", 12),
        ("encoder.final_norm.weight", 13),
        ("head.classifier.weight", 13),
    ],
)
def test_layers_are_counted_from_the_embeddings(name: str, depth: int) -> None:
    assert depth_of(name, head_depth=13) == depth


def test_every_parameter_has_a_layer(make_model) -> None:
    model = make_model()
    layers = trained_layers(model)
    assert (head_depth_of(model), list(layers)) == (3, [0, 1, 2, 3])
    assert sum(map(len, layers.values())) == len(tree_flatten(model.trainable_parameters()))


@pytest.mark.parametrize("depth", [1, 2])
def test_what_lies_below_is_frozen(make_model, depth: int) -> None:
    model = make_model()
    freeze_below(model, depth)
    assert list(trained_layers(model)) == list(range(depth, 4))


def test_a_frozen_encoder_leaves_the_head(make_model) -> None:
    model = make_model()
    freeze_encoder(model)
    names = [name for name, _ in tree_flatten(model.trainable_parameters())]
    assert names
    assert all(name.startswith("head.") for name in names)


def test_layers_are_unfrozen_from_the_head_down_and_frozen_ones_stay(make_model) -> None:
    model = make_model()
    freeze_below(model, 1)
    unfreezing = Unfreezing(model)
    seen = []
    for epoch in range(4):
        unfreezing.advance(epoch)
        seen.append(list(trained_layers(model)))
    assert seen == [[3], [2, 3], [1, 2, 3], [1, 2, 3]]


def test_a_resumed_run_trains_the_layers_of_its_epoch(make_model) -> None:
    model = make_model()
    Unfreezing(model).advance(2)
    assert list(trained_layers(model)) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
def test_compiled_and_uncompiled_runs_agree_while_layers_are_unfrozen(
    make_model, make_loader
) -> None:
    ends = []
    for use_compilation in (False, True):
        model = make_model(dropout=0.0)
        loop = Loop(
            epochs=3, gradual_unfreezing=True, use_compilation=use_compilation, ema_decay=0.9
        )
        trainer = Trainer(
            model,
            GroupedOptimizer(AdamW(), 3, layer_decay=0.7, counts_steps=True),
            Schedule(SCHEDULES["constant"], peak=1e-2),
            loop,
            make_scorer("binary"),
        )
        mx.random.seed(0)
        trainer.train(make_loader(24), make_loader(16, seed=1))
        ends.append(dict(tree_flatten(model.parameters())))
    for name, value in ends[0].items():
        np.testing.assert_allclose(
            np.array(ends[1][name]), np.array(value), atol=2e-3, err_msg=name
        )
