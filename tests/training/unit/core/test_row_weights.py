"""Weights of rows in the step: a row of weight 2 is a row that stands twice."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.data.tokens.token_table import take_rows
from bert_playground.training.core.regularization import (
    NO_REGULARIZATION,
    Regularization,
    make_gradients,
)

COUNTS = np.array([1, 2, 0, 3, 2])


def sum_gradients(model, batches, asked=NO_REGULARIZATION):
    compute = make_gradients(model, asked)
    loss, sums = 0.0, {}
    for batch in batches:
        value, gradients = compute(model.trainable_parameters(), batch, mx.array(1.0))
        loss += value.item()
        for name, gradient in tree_flatten(gradients):
            sums[name] = sums.get(name, 0) + np.array(gradient)
    return loss, sums


def weighted(loader, weights):
    loader.table = loader.table._replace(weights=weights.astype(np.float32))
    return loader


@pytest.mark.parametrize("batch_size", [5, 2])
@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_weights_are_repetitions(make_model, make_loader, task, layout, batch_size) -> None:
    model = make_model(task, dropout=0.0)
    loader = make_loader(len(COUNTS), batch_size=batch_size, shuffle=False, task=task)
    loader.layout = layout
    repeated = make_loader(len(COUNTS), batch_size=8, shuffle=False, task=task)
    repeated.layout = layout
    repeated.table = take_rows(loader.table, np.repeat(np.arange(len(COUNTS)), COUNTS))
    expected_loss, expected = sum_gradients(model, repeated)
    loss, gradients = sum_gradients(model, weighted(loader, COUNTS))
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=2e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("asked", [Regularization(mixup=0.4), Regularization(adversarial="fgm")])
def test_rows_that_all_count_one_are_rows_without_weights(make_model, make_loader, asked) -> None:
    model = make_model(dropout=0.0)
    plain = make_loader(6, batch_size=4, shuffle=False)
    expected, _ = sum_gradients(model, plain, asked)
    loss, _ = sum_gradients(model, weighted(plain, np.ones(6)), asked)
    assert loss == pytest.approx(expected, rel=1e-6)


def test_a_batch_that_counts_nothing_is_no_error(make_model, make_loader) -> None:
    loss, gradients = sum_gradients(make_model(), weighted(make_loader(3), np.zeros(3)))
    assert loss == 0
    assert all(np.isfinite(each).all() for each in gradients.values())


def test_a_part_of_the_rows_keeps_its_weights(make_loader) -> None:
    loader = weighted(make_loader(8, batch_size=2), np.arange(8))
    drawn = loader.sample(0.5, seed=0)
    for batch in drawn:
        kept = drawn._numbers[np.array(batch.rows)]
        np.testing.assert_array_equal(np.array(batch.weights), kept)
