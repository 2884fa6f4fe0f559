"""R-Drop, mixup and adversarial training against what they mean, on a tiny model."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.models.heads import HEADS, HeadConfig
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.regularization import Regularization, make_gradients
from bert_playground.training.core.step import can_compile, make_train_step

needs_compiler = pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
ALL = {
    "r_drop": Regularization(r_drop=0.7),
    "mixup": Regularization(mixup=0.4),
    "fgm": Regularization(adversarial="fgm", epsilon=0.3),
    "awp": Regularization(adversarial="awp", epsilon=0.02),
    "all": Regularization(r_drop=0.5, mixup=0.4, adversarial="awp"),
}


def measure(model, batch, asked: Regularization, mixing: float = 1.0) -> tuple[float, dict]:
    """The summed loss, and gradients by name."""
    parameters = model.trainable_parameters()
    loss, gradients = make_gradients(model, asked)(parameters, batch, mx.array(mixing))
    mx.eval(loss, gradients)
    model.update(parameters)
    return loss.item(), {name: np.array(value) for name, value in tree_flatten(gradients)}


def take(model, batches, asked: Regularization, *, steps: int = 1, use_compilation: bool = False):
    """The last of several steps on the same batches."""
    optimizer = AdamW()
    step = make_train_step(model, optimizer, use_compilation=use_compilation, regularization=asked)
    moments = optimizer.create_moments(model.trainable_parameters())
    for number in range(1, steps + 1):
        result = step(model.trainable_parameters(), moments, batches, 1e-2, number)
        model.update(result.parameters)
        moments = result.moments
        mx.eval(result, mx.random.state)
    return result


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def symmetric(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(KL(p, q) + KL(q, p)) / 2 over the last axis."""
    return 0.5 * ((p * np.log(p / q)).sum(-1) + (q * np.log(q / p)).sum(-1))


def of_bernoulli(logits: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-logits))
    return np.stack([p, 1 - p], axis=-1)


def expected_divergence(kind: str, head: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if kind == "binary":
        return symmetric(of_bernoulli(a), of_bernoulli(b))
    if kind == "multilabel":
        return symmetric(of_bernoulli(a), of_bernoulli(b)).mean(-1)
    if kind in ("multiclass", "ordinal"):
        p, q = (np.array(head.predict(mx.array(x))) for x in (a, b))
        return symmetric(p, q)
    return ((a - b) ** 2).reshape(len(a), -1).mean(-1)


@pytest.mark.parametrize("kind", HEADS)
def test_the_divergence_of_each_head_is_that_of_its_answers(kind: str) -> None:
    head = HEADS[kind].from_config(HeadConfig(hidden_size=8, num_labels=4))
    random = np.random.default_rng(0)
    hidden = [mx.array(random.standard_normal((6, 8)).astype(np.float32)) * 30 for _ in range(2)]
    a, b = (head.answer(x) for x in hidden)
    found = head.divergence(a, b)
    expected = expected_divergence(kind, head, np.array(a), np.array(b))
    assert found.shape == (6,)
    assert expected.max() > 1e-3
    np.testing.assert_allclose(np.array(found), expected, rtol=2e-3, atol=1e-5)
    np.testing.assert_array_equal(np.array(head.divergence(a, a)), 0)


def test_two_normal_distributions_diverge_as_the_formula_says() -> None:
    head = HEADS["regression"].from_config(HeadConfig(hidden_size=8, uncertainty_estimation=True))
    a, b = mx.array([[1.0, 0.3]]), mx.array([[0.2, -0.4]])
    (m, s), (n, t) = (np.array(head.predict(x))[0].astype(float) for x in (a, b))
    one = np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    other = np.log(s / t) + (t**2 + (m - n) ** 2) / (2 * s**2) - 0.5
    assert head.divergence(a, b).item() == pytest.approx((one + other) / 2, rel=1e-5)


def test_r_drop_is_the_mean_of_two_passes_and_their_divergence(make_model, make_loader) -> None:
    model, (batch,) = make_model("multiclass", dropout=0.3), list(make_loader(8, task="multiclass"))
    model.train()
    mx.random.seed(5)
    first, second = model(batch.tokens), model(batch.tokens)
    losses = [model.head.loss(logits, batch.labels).item() for logits in (first, second)]
    divergence = model.head.divergence(first, second).mean().item()
    assert divergence > 0
    mx.random.seed(5)
    found, _ = measure(model, batch, Regularization(r_drop=0.7))
    assert found / 8 == pytest.approx(sum(losses) / 2 + 0.7 * divergence, rel=1e-5)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_mixup_mixes_pooled_vectors_and_losses(make_model, make_loader, task: str) -> None:
    model, (batch,) = make_model(task, dropout=0.0), list(make_loader(8, task=task))
    pooled = model.head.embed(model.encoder.encode(batch.tokens), batch.tokens)
    after = mx.array(np.roll(np.arange(8), -1))
    logits = model.head.answer(0.3 * pooled + 0.7 * pooled[after])
    expected = [model.head.loss(logits, labels).item() for labels in (batch.labels, batch.labels[after])]  # fmt: skip
    found, _ = measure(model, batch, Regularization(mixup=0.4), mixing=0.3)
    assert found / 8 == pytest.approx(0.3 * expected[0] + 0.7 * expected[1], rel=1e-5)


def test_rows_that_are_not_mixed_have_their_own_loss_and_gradients(make_model, make_loader) -> None:
    model, (batch,) = make_model(dropout=0.0), list(make_loader(8))
    plain, plain_gradients = measure(model, batch, Regularization())
    found, gradients = measure(model, batch, Regularization(mixup=0.4), mixing=1.0)
    assert found == pytest.approx(plain, rel=1e-6)
    for name, value in gradients.items():
        np.testing.assert_allclose(value, plain_gradients[name], rtol=1e-4, atol=1e-6)


def test_shares_of_mixes_come_from_the_beta_distribution() -> None:
    np.random.seed(0)
    shares = [Regularization(mixup=0.4).draw_mixing().item() for _ in range(2000)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)
    assert Regularization().draw_mixing().item() == 1.0


def test_fgm_moves_each_row_along_its_own_gradient(make_model, make_loader) -> None:
    model, (batch,) = make_model(dropout=0.0), list(make_loader(8, batch_size=1))[:1]
    epsilon = 1e-3
    ids = batch.tokens.input_ids
    words = model.encoder.embeddings.words.weight[ids]
    slope = mx.grad(
        lambda added: model.head.loss(model(batch.tokens._replace(added=added)), batch.labels)
    )(mx.zeros((*ids.shape, 16)))
    rise = epsilon * (mx.sqrt(mx.square(words).sum()) * mx.sqrt(mx.square(slope).sum())).item()
    plain, _ = measure(model, batch, Regularization())
    found, _ = measure(model, batch, Regularization(adversarial="fgm", epsilon=epsilon))
    assert rise > 1e-5
    assert found - plain == pytest.approx(rise / 2, rel=0.05)  # half: the mean of both places


def test_awp_moves_each_matrix_by_a_share_of_its_norm(make_model, make_loader) -> None:
    model, (batch,) = make_model(dropout=0.0), list(make_loader(8))
    epsilon = 1e-3
    plain, slopes = measure(model, batch, Regularization())
    rise = epsilon * sum(
        np.linalg.norm(np.array(value)) * np.linalg.norm(slopes[name])
        for name, value in tree_flatten(model.trainable_parameters())
        if value.ndim >= 2
    )
    found, _ = measure(model, batch, Regularization(adversarial="awp", epsilon=epsilon))
    assert found - plain == pytest.approx(rise / 2, rel=0.05)


def test_the_gradients_of_an_adversary_are_the_mean_of_both_places(make_model, make_loader) -> None:
    model, (batch,) = make_model(dropout=0.0), list(make_loader(8))
    _, at_rest = measure(model, batch, Regularization())
    _, joined = measure(model, batch, Regularization(adversarial="awp", epsilon=0.05))
    parameters = dict(tree_flatten(model.trainable_parameters()))
    for name, value in parameters.items():
        slope = at_rest[name]
        if value.ndim >= 2:
            size = 0.05 * np.linalg.norm(np.array(value)) / max(np.linalg.norm(slope), 1e-12)
            parameters[name] = value + mx.array(size * slope)
    from mlx.utils import tree_unflatten

    model.update(tree_unflatten(list(parameters.items())))
    _, moved = measure(model, batch, Regularization())
    for name, value in joined.items():
        expected = (at_rest[name] + moved[name]) / 2
        np.testing.assert_allclose(value, expected, rtol=2e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["r_drop", "fgm"])
def test_accumulated_batches_equal_one_big_batch(make_model, make_loader, name: str) -> None:
    # The perturbation of a row is its own; that of awp, and the pairs of mixup, belong to a batch.
    asked = ALL[name]
    whole = list(make_loader(13, batch_size=13, shuffle=False))
    parts = list(make_loader(13, batch_size=5, shuffle=False))
    at_once, in_parts = (take(make_model(dropout=0.0), each, asked) for each in (whole, parts))
    assert in_parts.loss.item() == pytest.approx(at_once.loss.item(), rel=1e-5)
    assert in_parts.gradient_norm.item() == pytest.approx(at_once.gradient_norm.item(), rel=1e-3)


@pytest.mark.parametrize("asked", ALL.values(), ids=ALL)
def test_packed_and_padded_rows_agree(make_model, make_loader, asked: Regularization) -> None:
    loader = make_loader(8)
    norms, losses = [], []
    for layout in ("packed", "padded"):
        loader.layout = layout
        np.random.seed(3)
        result = take(make_model(dropout=0.0), list(loader), asked)
        losses.append(result.loss.item())
        norms.append(result.gradient_norm.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("asked", ALL.values(), ids=ALL)
def test_compiled_and_uncompiled_steps_agree(make_model, make_loader, asked) -> None:
    batches, found = list(make_loader(8)), []
    for use_compilation in (False, True):
        np.random.seed(3)
        found.append(take(make_model(), batches, asked, steps=2, use_compilation=use_compilation))
    plain, compiled = found
    assert compiled.loss.item() == pytest.approx(plain.loss.item(), rel=1e-3)
    assert compiled.gradient_norm.item() == pytest.approx(plain.gradient_norm.item(), rel=1e-2)
