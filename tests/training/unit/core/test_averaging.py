"""The moving average of weights: its closed form, its warm-up, and no change of what is averaged."""

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.training.core import SCHEDULES, AdamW, Loop, Schedule, Trainer
from bert_playground.training.core.averaging import average_weights, is_averaged, mean_weights
from bert_playground.training.metrics import make_scorer
from bert_playground.training.summary import describe_weights


def follow(values: list[float], decay: float) -> float:
    """The average after all of these values of one weight."""
    average = {"w": mx.array([values[0]])}
    for step, value in enumerate(values, start=1):
        average = average_weights(average, {"w": mx.array([value])}, decay, step)
    return float(average["w"][0])


def test_late_steps_follow_the_closed_form() -> None:
    average, decay = {"w": mx.array([3.0])}, 0.9
    for step in range(1000, 1005):
        average = average_weights(average, {"w": mx.array([1.0])}, decay, step)
    np.testing.assert_allclose(float(average["w"][0]), 1 + 2 * decay**5, rtol=1e-6)


def test_early_steps_forget_the_random_start() -> None:
    assert abs(follow([100.0] + [0.0] * 29, 0.999)) < 1.0


def test_a_constant_weight_is_its_own_average() -> None:
    assert follow([2.5] * 50, 0.99) == 2.5


def test_nested_trees_and_the_weights_themselves_stay_as_they_are() -> None:
    weights = {"a": [{"w": mx.array([1.0, 2.0])}], "b": mx.array([3.0])}
    average = average_weights(
        weights, {"a": [{"w": mx.array([2.0, 2.0])}], "b": mx.array([4.0])}, 0.5, 1
    )
    assert weights["a"][0]["w"].tolist() == [1.0, 2.0]
    assert 1.0 < float(average["a"][0]["w"][0]) < 2.0
    assert 3.0 < float(average["b"][0]) < 4.0


def test_the_mean_weighs_all_steps_alike() -> None:
    mean = {"w": mx.array([4.0])}
    for count, value in enumerate([4.0, 1.0, 7.0, 0.0], start=1):
        mean = mean_weights(mean, {"w": mx.array([value])}, count)
    assert mean["w"].item() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("start", "averaged"), [(0.0, [1, 2, 3, 4]), (0.5, [3, 4]), (0.7, [3, 4]), (0.99, [4])]
)
def test_the_mean_begins_after_a_share_of_the_steps(start: float, averaged: list[int]) -> None:
    assert [step for step in (1, 2, 3, 4) if is_averaged(start, step, 4)] == averaged


def test_a_best_epoch_before_the_mean_begins_is_said_to_hold_raw_weights(make_model) -> None:
    loop = Loop(epochs=2, swa_start=0.5)
    schedule = Schedule(SCHEDULES["constant"], peak=1e-3)
    trainer = Trainer(make_model(), AdamW(), schedule, loop, make_scorer("binary"))
    trainer.state.total_steps, trainer.state.best_step = 10, 5
    assert describe_weights(trainer).startswith("the weights as they are, as the best epoch")
    trainer.state.best_step = 6
    assert describe_weights(trainer) == "the mean of the weights after 50 % of the steps"
