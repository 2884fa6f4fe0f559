"""TrainState: means over rows, and what counts as the best evaluation."""

import pytest

from bert_playground.training.core.state import TrainState


def evaluated(state: TrainState, *values: tuple[float, float]) -> TrainState:
    for step, (accuracy, loss) in enumerate(values, start=1):
        state.step = step
        state.record_evaluation(step, 0.5, {"val_accuracy": accuracy, "val_loss": loss})
    return state


def test_the_reported_loss_is_a_mean_over_rows() -> None:
    state = TrainState()
    state.count_step(loss=1.0, rows=30, tokens=300)
    state.count_step(loss=4.0, rows=10, tokens=50)
    state.record_step()
    assert state.history[0]["loss"] == pytest.approx(1.75)
    assert (state.rows, state.tokens, state.report_rows) == (40, 350, 0)


def test_the_best_is_the_highest_or_lowest_as_the_mode_says() -> None:
    high = evaluated(TrainState(monitor="val_accuracy", mode="max"), (0.5, 1), (0.9, 2), (0.7, 0.5))
    low = evaluated(TrainState(monitor="val_loss", mode="min"), (0.5, 1), (0.9, 2), (0.7, 0.5))
    assert (high.best_step, high.best_metrics[high.monitor], high.evaluations_since_best) == (
        2,
        0.9,
        1,
    )
    assert (low.best_step, low.best_metrics[low.monitor], low.is_best) == (3, 0.5, True)


def test_a_tie_goes_to_the_lower_validation_loss() -> None:
    state = TrainState(monitor="val_accuracy", mode="max")
    assert evaluated(state, (0.8, 0.6), (0.8, 0.5), (0.8, 0.7)).best_step == 2


def test_a_state_survives_json() -> None:
    state = evaluated(TrainState(monitor="val_accuracy"), (0.5, 1.0))
    assert TrainState.from_dict({**state.to_dict(), "of_a_later_version": 1}) == state


def test_a_monitor_that_cannot_be_computed_gives_way_to_the_loss() -> None:
    state = TrainState(monitor="val_roc_auc", mode="max")
    for step, loss in enumerate([0.9, 0.5, 0.7], start=1):
        state.step = step
        state.record_evaluation(step, 0.5, {"val_loss": loss})
    assert (state.monitor, state.mode, state.best_step) == ("val_loss", "min", 2)
