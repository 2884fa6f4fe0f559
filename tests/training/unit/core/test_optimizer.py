"""Schedules against closed forms, AdamW against the formula of the paper."""

import math

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.config.schema import OptimizerSection, SchedulerSection
from bert_playground.training.core.optimizer import gradient_norm, is_decayed
from bert_playground.training.core.optimizers import OPTIMIZERS, AdamW, optimizer_options
from bert_playground.training.core.schedule import SCHEDULES, Schedule
from bert_playground.training.create_optimizer import (
    choose_rate,
    create_optimizer,
    create_schedule,
)
from bert_playground.training.recipe import Recipe


def test_warm_up_is_a_line_to_the_peak() -> None:
    schedule = Schedule(SCHEDULES["cosine"], peak=0.01, warmup_steps=4)
    assert [schedule.rate(step, 20) for step in range(4)] == pytest.approx(
        [0.0025, 0.005, 0.0075, 0.01]
    )


def test_warm_up_can_be_a_part_of_all_steps() -> None:
    schedule = Schedule(SCHEDULES["constant"], peak=1.0, warmup_ratio=0.1)
    assert schedule.rate(9, 100) == pytest.approx(1.0)
    assert schedule.rate(4, 100) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cosine", lambda t: 0.5 * (1 + math.cos(math.pi * t))),
        ("linear", lambda t: 1 - t),
        ("constant", lambda t: 1.0),
        ("polynomial", lambda t: (1 - t) ** 2),
        # As get_cosine_with_hard_restarts_schedule_with_warmup of transformers, with two cycles.
        ("cosine_with_restarts", lambda t: 0.5 * (1 + math.cos(math.pi * ((2 * t) % 1.0)))),
        ("one_cycle", lambda t: 4e-6 + (1 - 4e-6) * 0.5 * (1 + math.cos(math.pi * t))),
        (
            "warmup_stable_decay",
            lambda t: 1.0 if t <= 0.8 else 0.5 * (1 + math.cos(math.pi * (t - 0.8) / 0.2)),
        ),
    ],
)
def test_decay_follows_its_closed_form(name: str, expected) -> None:
    schedule = Schedule(SCHEDULES[name], peak=2.0, warmup_steps=10)
    for step in range(10, 110):
        assert schedule.rate(step, 110) == pytest.approx(2.0 * expected((step - 10) / 100))


def test_one_cycle_rises_as_half_a_wave_over_three_tenths() -> None:
    schedule = create_schedule(SchedulerSection(type="one_cycle"), peak=2.0)
    for step in range(30):
        part = (step + 1) / 30
        expected = 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * part))
        assert schedule.rate(step, 100) == pytest.approx(2.0 * expected)
    assert schedule.rate(99, 100) < 2.0 * 1e-3


def test_a_rate_falls_to_the_share_that_is_asked_for() -> None:
    schedule = create_schedule(SchedulerSection(type="linear", min_lr_ratio=0.2), peak=1.0)
    assert schedule.rate(53, 100) == pytest.approx(0.2 + 0.8 * 0.5)
    assert schedule.rate(100, 100) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"type": "polynomial", "power": 3.0}, 0.5**3),
        ({"type": "cosine_with_restarts", "num_cycles": 4}, 1.0),
        ({"type": "warmup_stable_decay", "decay_ratio": 1.0}, 0.5),
        ({"type": "cosine"}, 0.5),
    ],
)
def test_a_schedule_gets_its_own_settings(asked: dict, expected: float) -> None:
    schedule = create_schedule(SchedulerSection(warmup_ratio=0.0, **asked), peak=1.0)
    assert schedule.rate(50, 100) == pytest.approx(expected)


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("warmup_steps", [0, 1, 7, 50])
def test_every_step_has_a_positive_rate(name: str, warmup_steps: int) -> None:
    schedule = Schedule(SCHEDULES[name], peak=1.0, warmup_steps=warmup_steps)
    rates = [schedule.rate(step, 10) for step in range(10)]
    assert all(0 < rate <= 1 for rate in rates)


def reference_adamw(parameter, gradients, rate, decay, beta1=0.9, beta2=0.999, eps=1e-8):
    """Algorithm 2 of Loshchilov and Hutter 2019, in f64."""
    m = v = np.zeros_like(parameter)
    for step, gradient in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        update = (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps)
        parameter = parameter - rate * (update + decay * parameter)
    return parameter


def test_adamw_follows_the_paper_and_spares_vectors() -> None:
    random = np.random.default_rng(0)
    start = {"weight": random.standard_normal((3, 5)), "bias": random.standard_normal(5)}
    gradients = [
        {name: random.standard_normal(value.shape) for name, value in start.items()}
        for _ in range(5)
    ]
    optimizer = AdamW(weight_decay=0.1)
    parameters = {name: mx.array(value.astype(np.float32)) for name, value in start.items()}
    moments = optimizer.create_moments(parameters)
    for step, gradient in enumerate(gradients, start=1):
        parameters, moments = optimizer.update(
            parameters,
            {name: mx.array(value.astype(np.float32)) for name, value in gradient.items()},
            moments,
            learning_rate=mx.array(0.01),
            step=mx.array(float(step)),
            gradient_scale=mx.array(0.5),
        )
    for name, decay in (("weight", 0.1), ("bias", 0.0)):
        expected = reference_adamw(
            start[name], [0.5 * gradient[name] for gradient in gradients], 0.01, decay
        )
        np.testing.assert_allclose(np.array(parameters[name]), expected, rtol=2e-5, atol=2e-6)


def test_norms_and_biases_are_not_decayed(make_model) -> None:
    from mlx.utils import tree_flatten

    parameters = make_model().parameters()
    spared = [name for name, parameter in tree_flatten(parameters) if not is_decayed(parameter)]
    assert spared
    assert all("bias" in name or "norm" in name.lower() for name in spared)
    assert "weight decay 0.01 on" in AdamW().describe(parameters)


def test_gradient_norm_is_that_of_all_values_together() -> None:
    gradients = {"a": mx.array([3.0, 0.0]), "b": {"c": mx.array([[4.0], [12.0]])}}
    assert gradient_norm(gradients).item() == pytest.approx(13.0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_gets_the_settings_that_it_has(make_model, name: str) -> None:
    # All settings are given to each of them: those that it lacks must not reach it.
    asked = OptimizerSection(
        type=name, weight_decay=0.3, beta1=0.5, beta2=0.6, eps=1e-3, momentum=0.7, nesterov=True
    )
    optimizer = create_optimizer(asked, make_model())
    for setting in optimizer_options(OPTIMIZERS[name]):
        if setting in OptimizerSection.model_fields:
            assert getattr(optimizer, setting) == getattr(asked, setting)


def test_what_is_not_given_is_the_default_of_the_optimizer(make_model) -> None:
    assert create_optimizer(OptimizerSection(), make_model()) == AdamW()


def test_the_rate_of_a_recipe_is_that_of_adamw() -> None:
    recipe = Recipe(learning_rate=1e-3, epochs=1, patience=1)
    rates = {name: choose_rate(OptimizerSection(type=name), recipe) for name in OPTIMIZERS}
    assert rates == pytest.approx(dict.fromkeys(OPTIMIZERS, 1e-3) | {"lion": 2e-4, "sgd": 0.1})
    assert choose_rate(OptimizerSection(type="lion", learning_rate=0.5), recipe) == 0.5
