"""The train step: accumulation equals one big batch, clipping, compilation, checkpointing, in-place updates."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.step import can_compile, count_rows, make_train_step

needs_compiler = pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")


def take(model, batches, *, number=1, rate=1e-2, **options):
    """Take `number` steps on the same batches; gives the last result."""
    optimizer = AdamW()
    step = make_train_step(model, optimizer, **{"use_compilation": False, **options})
    moments = optimizer.create_moments(model.trainable_parameters())
    for index in range(1, number + 1):
        result = step(model.trainable_parameters(), moments, batches, rate, index)
        model.update(result.parameters)
        moments = result.moments
        mx.eval(result, mx.random.state)
    return result


def flat(tree):
    return {name: np.array(array) for name, array in tree_flatten(tree)}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_accumulated_batches_equal_one_big_batch(make_model, make_loader, task: str) -> None:
    # 13 rows as 13, and as 5 + 5 + 3: the last, smaller batch must not count for more than its rows.
    whole = list(make_loader(13, batch_size=13, shuffle=False, task=task))
    parts = list(make_loader(13, batch_size=5, shuffle=False, task=task))
    assert [count_rows([batch]) for batch in parts] == [5, 5, 3]
    at_once = take(make_model(task, dropout=0.0), whole)
    in_parts = take(make_model(task, dropout=0.0), parts)
    assert in_parts.loss.item() == pytest.approx(at_once.loss.item(), rel=1e-5)
    assert in_parts.gradient_norm.item() == pytest.approx(at_once.gradient_norm.item(), rel=1e-4)
    expected = flat(at_once.moments["m"])
    for name, value in flat(in_parts.moments["m"]).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-7, err_msg=name)


def test_clipping_scales_all_gradients_to_the_norm(make_model, make_loader) -> None:
    batches = list(make_loader(8))
    free = take(make_model(dropout=0.0), batches, max_grad_norm=None)
    norm = free.gradient_norm.item()
    clipped = take(make_model(dropout=0.0), batches, max_grad_norm=norm / 4)
    assert clipped.gradient_norm.item() == pytest.approx(norm, rel=1e-5)  # reported before clipping
    unclipped_m = flat(free.moments["m"])
    for name, value in flat(clipped.moments["m"]).items():
        np.testing.assert_allclose(value, unclipped_m[name] / 4, rtol=1e-3, atol=1e-8)


def test_small_gradients_are_not_scaled_up(make_model, make_loader) -> None:
    batches = list(make_loader(8))
    free = take(make_model(dropout=0.0), batches, max_grad_norm=None)
    kept = take(make_model(dropout=0.0), batches, max_grad_norm=1e6)
    for name, value in flat(kept.parameters).items():
        np.testing.assert_array_equal(value, flat(free.parameters)[name])


@needs_compiler
def test_compiled_and_uncompiled_steps_agree(make_model, make_loader) -> None:
    batches = list(make_loader(8))
    plain = take(make_model(), batches, number=3)
    compiled = take(make_model(), batches, number=3, use_compilation=True)
    assert compiled.loss.item() == pytest.approx(plain.loss.item(), rel=1e-4)
    for name, value in flat(compiled.parameters).items():
        np.testing.assert_allclose(
            value, flat(plain.parameters)[name], rtol=1e-3, atol=2e-4, err_msg=name
        )


@needs_compiler
def test_a_compiled_step_draws_new_dropout_masks(make_model, make_loader) -> None:
    model, batches = make_model(dropout=0.5), list(make_loader(8))
    optimizer = AdamW()
    step = make_train_step(model, optimizer, use_compilation=True)
    parameters, moments = (
        model.trainable_parameters(),
        optimizer.create_moments(model.trainable_parameters()),
    )
    losses = set()
    for _ in range(3):
        losses.add(step(parameters, moments, batches, 0.0, 1).loss.item())
    model.update(parameters)
    assert len(losses) == 3


def test_gradient_checkpointing_changes_no_gradient(make_model, make_loader) -> None:
    batches = list(make_loader(8))
    plain = take(make_model(dropout=0.3), batches)
    model = make_model(dropout=0.3)
    model.encoder.gradient_checkpointing = True
    model.train()
    # The seeds of the masks are drawn elsewhere, so only the absence of a mismatch between the two forward
    # passes can be compared: without dropout values are equal, with it gradients stay finite and of one size.
    saved = take(model, batches)
    assert saved.gradient_norm.item() == pytest.approx(plain.gradient_norm.item(), rel=1.0)
    exact = make_model(dropout=0.0)
    exact.encoder.gradient_checkpointing = True
    expected = flat(take(make_model(dropout=0.0), batches).moments["m"])
    for name, value in flat(take(exact, batches).moments["m"]).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-8)


def test_steps_keep_no_old_arrays_alive(make_model, make_loader) -> None:
    model, batches = make_model(), list(make_loader(8))
    take(model, batches, number=2)
    before = mx.get_active_memory()
    result = take(model, batches, number=6)
    del result
    assert mx.get_active_memory() <= before + 4096


@pytest.mark.parametrize("use_compilation", [False, pytest.param(True, marks=needs_compiler)])
def test_gradients_summed_over_ranks_equal_one_big_batch(
    make_model, make_loader, use_compilation: bool
) -> None:
    whole = list(make_loader(13, batch_size=13, shuffle=False))
    parts = list(make_loader(13, batch_size=8, shuffle=False))  # 8 rows on one rank, 5 on another
    seen: list[dict] = []

    def keep(sums):
        seen.append(sums)
        return sums

    take(make_model(dropout=0.0), parts[1:], reduce_gradients=keep, use_compilation=False)
    (other,) = seen

    def add_other_rank(sums):
        return tree_map(mx.add, sums, other)

    expected = take(make_model(dropout=0.0), whole)
    reduced = take(
        make_model(dropout=0.0),
        parts[:1],
        reduce_gradients=add_other_rank,
        use_compilation=use_compilation,
    )
    assert reduced.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    assert reduced.gradient_norm.item() == pytest.approx(expected.gradient_norm.item(), rel=1e-4)
    moments = flat(expected.moments["m"])
    for name, value in flat(reduced.moments["m"]).items():
        np.testing.assert_allclose(value, moments[name], rtol=1e-3, atol=1e-7, err_msg=name)
