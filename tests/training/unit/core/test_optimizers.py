"""Every optimizer against its formula in f64, and against MLX's own where the two agree."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.optimizers
import numpy as np
import pytest

from bert_playground.training.core.freezing import complete_moments
from bert_playground.training.core.optimizer import Optimizer, flatten
from bert_playground.training.core.optimizers import (
    OPTIMIZERS,
    SGD,
    Adafactor,
    Adam,
    AdamW,
    GroupedOptimizer,
    Lion,
    Muon,
)
from bert_playground.training.core.optimizers.muon import orthogonalise
from bert_playground.training.core.step import can_compile

needs_compiler = pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
RATE, SCALE, STEPS = 0.01, 0.5, 6
SHAPES = {
    "encoder.embeddings.words.weight": (7, 4),
    "encoder.layers.0.attention.qkv.weight": (12, 4),
    "encoder.layers.0.feed_forward.up.weight": (6, 4),
    "encoder.layers.0.feed_forward.up.bias": (6,),
    "encoder.layers.1.feed_forward.down.weight": (4, 6),
    "head.classifier.weight": (2, 4),
}
Arrays = dict[str, np.ndarray]


def draw(seed: int = 0) -> tuple[Arrays, list[Arrays]]:
    random = np.random.default_rng(seed)
    start = {name: random.standard_normal(shape) for name, shape in SHAPES.items()}
    gradients = [
        {name: random.standard_normal(shape) for name, shape in SHAPES.items()}
        for _ in range(STEPS)
    ]
    return start, gradients


def to_mlx(arrays: Arrays) -> dict[str, mx.array]:
    return {name: mx.array(value.astype(np.float32)) for name, value in arrays.items()}


def run(
    optimizer: Optimizer, start: Arrays, gradients: list[Arrays], *, use_compilation: bool = False
) -> dict[str, Any]:
    """Parameters after all steps."""
    parameters: Any = to_mlx(start)
    moments = optimizer.create_moments(parameters)

    def update(parameters, gradients, moments, rate, step, scale):
        return optimizer.update(
            parameters, gradients, moments, learning_rate=rate, step=step, gradient_scale=scale
        )

    if use_compilation:
        update = mx.compile(update)
    for step, gradient in enumerate(gradients, start=1):
        parameters, moments = update(
            parameters, to_mlx(gradient), moments, mx.array(RATE), mx.array(float(step)), mx.array(SCALE)
        )  # fmt: skip
        parameters, moments = flatten(parameters), dict(moments)
    return {name: np.array(value) for name, value in parameters.items()}


def adam(p, gradients, *, l2=0.0, decay=0.0):
    m = v = np.zeros_like(p)
    for t, g in enumerate(gradients, start=1):
        g = g + l2 * p
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        p = p - RATE * (step + decay * p)
    return p


def sgd(p, gradients, *, momentum, nesterov=False, l2=0.0):
    v = np.zeros_like(p)
    for g in gradients:
        g = g + l2 * p
        v = momentum * v + g
        p = p - RATE * (g + momentum * v if nesterov else v)
    return p


def lion(p, gradients, *, decay=0.0):
    m = np.zeros_like(p)
    for g in gradients:
        p = p - RATE * (np.sign(0.9 * m + 0.1 * g) + decay * p)
        m = 0.99 * m + 0.01 * g
    return p


def adafactor(p, gradients, *, decay=0.0, beta1=0.0):
    row = column = v = m = 0.0
    for t, g in enumerate(gradients, start=1):
        beta2, square = 1 - t**-0.8, g**2 + 1e-30
        if g.ndim == 2:
            row = beta2 * row + (1 - beta2) * square.mean(1)
            column = beta2 * column + (1 - beta2) * square.mean(0)
            v = np.outer(row, column) / row.mean()
        else:
            v = beta2 * v + (1 - beta2) * square
        update = g / np.sqrt(v)
        update = update / max(1.0, np.sqrt((update**2).mean()))
        m = beta1 * m + (1 - beta1) * update
        p = p - RATE * (m + decay * p)
    return p


def newton_schulz(x):
    """Jordan's quintic iteration on one matrix."""
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if is_tall else x


def muon(p, gradients, *, decay=0.0, parts=1):
    momentum = np.zeros_like(p)
    for g in gradients:
        momentum = 0.95 * momentum + 0.05 * g
        update = 0.95 * momentum + 0.05 * g
        step = np.concatenate([newton_schulz(part) for part in np.split(update, parts)])
        size = 0.2 * np.sqrt(max(p.shape[0] // parts, p.shape[1]))
        p = p * (1 - RATE * decay) - RATE * size * step
    return p


def expected_muon(name, p, gradients):
    if "layers" not in name or p.ndim == 1:
        return adam(p, gradients, decay=0.1 if p.ndim == 2 else 0.0)
    return muon(p, gradients, decay=0.1, parts=3 if "qkv" in name else 1)


# Optimizer, and (name, parameter, gradients after scaling) → parameter after all steps.
CASES: dict[str, tuple[Optimizer, Callable[..., Any]]] = {
    "adamw": (AdamW(0.1), lambda _, p, g: adam(p, g, decay=0.1 * (p.ndim == 2))),
    "adam": (Adam(), lambda _, p, g: adam(p, g)),
    "adam with decay": (Adam(0.1), lambda _, p, g: adam(p, g, l2=0.1 * (p.ndim == 2))),
    "sgd": (SGD(momentum=0.0), lambda _, p, g: sgd(p, g, momentum=0.0)),
    "sgd with momentum": (
        SGD(0.1, momentum=0.8),
        lambda _, p, g: sgd(p, g, momentum=0.8, l2=0.1 * (p.ndim == 2)),
    ),
    "nesterov": (
        SGD(momentum=0.8, nesterov=True),
        lambda _, p, g: sgd(p, g, momentum=0.8, nesterov=True),
    ),
    "lion": (Lion(0.1), lambda _, p, g: lion(p, g, decay=0.1 * (p.ndim == 2))),
    "adafactor": (Adafactor(0.1), lambda _, p, g: adafactor(p, g, decay=0.1 * (p.ndim == 2))),
    "adafactor with a first moment": (
        Adafactor(beta1=0.9),
        lambda _, p, g: adafactor(p, g, beta1=0.9),
    ),
    "muon": (Muon(0.1), expected_muon),
}


@pytest.mark.parametrize(
    "use_compilation",
    [
        pytest.param(False, id="as written"),
        pytest.param(True, id="compiled", marks=[needs_compiler, pytest.mark.slow]),
    ],
)
@pytest.mark.parametrize("case", CASES)
def test_the_trajectory_is_that_of_the_formula(case: str, use_compilation: bool) -> None:
    optimizer, reference = CASES[case]
    start, gradients = draw()
    found = run(optimizer, start, gradients, use_compilation=use_compilation)
    for name, value in start.items():
        expected = reference(name, value, [SCALE * gradient[name] for gradient in gradients])
        # The quintic amplifies rounding of the smallest singular values by 3.4 in each of its iterations.
        atol = 2e-4 if case == "muon" else 2e-6
        np.testing.assert_allclose(found[name], expected, rtol=2e-5, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (AdamW(0.0), mlx.optimizers.AdamW(RATE, weight_decay=0.0, bias_correction=True)),
        (Adam(), mlx.optimizers.Adam(RATE, bias_correction=True)),
        (SGD(momentum=0.9), mlx.optimizers.SGD(RATE, momentum=0.9)),
        (Lion(0.0), mlx.optimizers.Lion(RATE)),
        (
            Adafactor(),
            mlx.optimizers.Adafactor(RATE, scale_parameter=False, relative_step=False),
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_trajectory_is_that_of_mlx(ours: Optimizer, theirs: Any) -> None:
    start, gradients = draw()
    found, parameters = run(ours, start, gradients), to_mlx(start)
    theirs.init(parameters)
    for gradient in gradients:
        scaled = {name: SCALE * value for name, value in to_mlx(gradient).items()}
        parameters = theirs.apply_gradients(scaled, parameters)
    for name, value in parameters.items():
        np.testing.assert_allclose(found[name], np.array(value), rtol=2e-5, atol=2e-6)


def test_orthogonalising_is_what_mlx_does_to_one_matrix() -> None:
    matrix = mx.random.normal((9, 4), key=mx.random.key(1))
    theirs = mlx.optimizers.Muon(RATE)._zeropower_via_newtonschulz5(matrix, 5)
    np.testing.assert_allclose(np.array(orthogonalise(matrix)), np.array(theirs), atol=1e-4)


def test_orthogonalised_singular_values_are_near_one() -> None:
    singular = np.linalg.svd(np.array(orthogonalise(mx.random.normal((16, 40)))))[1]
    assert singular.min() > 0.5
    assert singular.max() < 1.3


def test_muon_leaves_factors_of_adapters_to_adamw() -> None:
    parameters = {"encoder": {"layers": [{"up": {"lora_a": mx.ones((2, 4)), "lora_b": mx.ones((4, 2))}}]}}  # fmt: skip
    moments = Muon().create_moments(parameters)
    assert flatten(moments["momentum"]) == {}
    assert "Muon on 0 hidden matrices" in Muon().describe(parameters)


@pytest.mark.parametrize("is_grouped", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_was_stored_without_empty_trees_goes_on(name: str, is_grouped: bool) -> None:
    # A checkpoint has no room for a tree without arrays: all parameters are matrices here, then all are vectors.
    for shape in ((3, 4), (5,)):
        start, gradient = {"head.x": np.ones(shape)}, {"head.x": np.ones(shape)}
        optimizer = OPTIMIZERS[name]()
        if is_grouped:
            optimizer = GroupedOptimizer(optimizer, 3, layer_decay=0.5)
        stored = {
            kind: tree
            for kind, tree in optimizer.create_moments(to_mlx(start)).items()
            if flatten(tree)
        }
        new, _ = optimizer.update(
            to_mlx(start), to_mlx(gradient), stored,
            learning_rate=mx.array(RATE), step=mx.array(1.0), gradient_scale=mx.array(1.0),
        )  # fmt: skip
        assert not np.array_equal(np.array(flatten(new)["head.x"]), start["head.x"])


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValueError, match=r"optimizer\.momentum above 0"):
        SGD(momentum=0.0, nesterov=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_layer_learns_at_its_share_of_the_rate(name: str) -> None:
    start, gradients = draw()
    make = OPTIMIZERS[name]
    whole = run(make(weight_decay=0.0), start, gradients[:1])
    grouped = run(
        GroupedOptimizer(make(weight_decay=0.0), head_depth=3, layer_decay=0.5),
        start,
        gradients[:1],
    )
    shares = {"embeddings": 1 / 8, "layers.0": 1 / 4, "layers.1": 1 / 2, "head": 1.0}
    for parameter, before in start.items():
        share = next(value for part, value in shares.items() if part in parameter)
        expected = before + share * (whole[parameter] - before)
        np.testing.assert_allclose(grouped[parameter], expected, rtol=1e-5, atol=1e-6)


def test_groups_without_a_decay_change_no_bit() -> None:
    start, gradients = draw()
    plain = run(AdamW(), start, gradients)
    grouped = run(GroupedOptimizer(AdamW(), 3, counts_steps=True), start, gradients)
    for name, value in plain.items():
        np.testing.assert_array_equal(grouped[name], value)


def test_a_layer_that_is_unfrozen_later_begins_with_step_one() -> None:
    start, gradients = draw()
    optimizer = GroupedOptimizer(AdamW(), head_depth=3, counts_steps=True)
    parameters: Any = {"head.classifier.weight": to_mlx(start)["head.classifier.weight"]}
    moments = optimizer.create_moments(parameters)
    options = {"learning_rate": mx.array(RATE), "gradient_scale": mx.array(SCALE)}
    for step in (1.0, 2.0):
        gradient = {name: to_mlx(gradients[0])[name] for name in parameters}
        parameters, moments = optimizer.update(
            parameters, gradient, moments, step=mx.array(step), **options
        )
        parameters = flatten(parameters)
    parameters = to_mlx(start) | parameters
    moments = complete_moments(moments, optimizer.create_moments(parameters))
    parameters, moments = optimizer.update(
        parameters, to_mlx(gradients[1]), moments, step=mx.array(3.0), **options
    )
    fresh = run(AdamW(), start, gradients[1:2])
    old = run(AdamW(), start, [gradients[0], gradients[0], gradients[1]])
    for name, value in flatten(parameters).items():
        expected = (old if name.startswith("head") else fresh)[name]
        np.testing.assert_array_equal(np.array(value), expected, err_msg=name)
    assert {name: count.item() for name, count in moments["steps"].items()} == {
        "layer_0": 1.0,
        "layer_1": 1.0,
        "layer_2": 1.0,
        "layer_3": 3.0,
    }
