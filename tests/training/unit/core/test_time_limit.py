"""A limit of time: the schedule falls to zero within it, the run is evaluated at its end, and the reason is said."""

import pytest

from bert_playground.training.core import SCHEDULES, AdamW, Callback, Loop, Schedule, Trainer
from bert_playground.training.core.state import TrainState
from bert_playground.training.metrics import make_scorer


class Clock(Callback):
    """Lets each step take this many seconds more, and remembers rates and evaluations."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.rates, self.evaluated = seconds, [], []

    def on_step_end(self, state: TrainState) -> None:
        state.seconds += self.seconds[min(state.step, len(self.seconds)) - 1]
        self.rates.append(state.learning_rate)

    def on_evaluate_end(self, state: TrainState) -> None:
        self.evaluated.append(state.step)


def train(make_model, make_loader, clock: Clock, max_seconds: float | None) -> TrainState:
    loop = Loop(epochs=9, max_seconds=max_seconds, monitor="val_loss", mode="min")
    schedule = Schedule(SCHEDULES["linear"], peak=1e-3)
    trainer = Trainer(make_model(), AdamW(), schedule, loop, make_scorer("binary"), [clock])
    return trainer.train(make_loader(), make_loader(16, shuffle=False))


def test_fewer_steps_are_taken_and_the_rate_falls_to_zero(make_model, make_loader) -> None:
    clock = Clock(1000.0)
    state = train(make_model, make_loader, clock, 20_000)
    assert 15 <= state.step <= 20
    assert state.step == state.total_steps
    assert clock.rates[-1] < 0.2e-3
    assert clock.evaluated[-1] == state.step
    assert state.best_metrics
    expected = f"{state.step} of 45 steps were taken, as many as fit into 20000 s"
    assert state.stop_reason == expected


def test_a_run_that_is_suddenly_slow_still_ends_in_good_order(make_model, make_loader) -> None:
    clock = Clock(*[100.0] * 11, 1e6)
    state = train(make_model, make_loader, clock, 5000)
    assert state.step == 13  # the limit is looked at after the next step
    assert state.stop_reason == "the time of 5000 s is up after 13 of 45 steps"
    assert clock.evaluated[-1] == 13


@pytest.mark.parametrize("max_seconds", [None, 1e9])
@pytest.mark.quick_for("1000000000.0")
def test_enough_time_changes_nothing(make_model, make_loader, max_seconds: float | None) -> None:
    state = train(make_model, make_loader, Clock(1.0), max_seconds)
    assert (state.step, state.stop_reason) == (45, "all steps taken")
