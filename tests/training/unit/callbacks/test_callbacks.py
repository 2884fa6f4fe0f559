"""Callbacks: told in order, early stopping, checkpoints kept, lines and bar, curves."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from bert_playground.logger import logger
from bert_playground.plots import choose_ticks
from bert_playground.runs import RunDir
from bert_playground.training.callbacks import (
    Checkpointing,
    CheckpointPolicy,
    Curves,
    EarlyStopping,
    MetricsLog,
    checkpointing,
)
from bert_playground.training.callbacks.curves import draw_curves
from bert_playground.training.callbacks.describe_progress import describe_time
from bert_playground.training.callbacks.notebook_progress import NotebookProgress
from bert_playground.training.callbacks.progress import (
    ProgressBar,
    ProgressLines,
    create_progress,
)
from bert_playground.training.core import (
    SCHEDULES,
    AdamW,
    Callback,
    Loop,
    Schedule,
    Trainer,
    TrainState,
)
from bert_playground.training.core.interrupt import INTERRUPTED
from bert_playground.training.metrics import make_scorer


class Witness(Callback):
    """Writes down which hooks are called."""

    def __init__(self, calls: list[str], name: str) -> None:
        for hook in [hook for hook in dir(Callback) if hook.startswith("on_")]:
            setattr(self, hook, lambda state, hook=hook: calls.append(f"{name} {hook}"))


def make_trainer(model, **loop) -> Trainer:
    schedule = Schedule(SCHEDULES["constant"], peak=1e-3)
    settings = {"epochs": 2, "monitor": "val_accuracy", "mode": "max", **loop}
    return Trainer(model, AdamW(), schedule, Loop(**settings), make_scorer("binary"))


def stalled(patience: int, values: list[float]) -> TrainState:
    state, callback = TrainState(monitor="val_accuracy"), EarlyStopping(patience)
    for value in values:
        if not state.stop_reason:
            state.step += 1
            state.record_evaluation(state.step, 0.1, {"val_accuracy": value})
            callback.on_evaluate_end(state)
    return state


def test_hooks_are_called_in_order_and_callbacks_in_the_lists_order(
    make_model, make_loader
) -> None:
    calls: list[str] = []
    trainer = make_trainer(make_model(), epochs=1)
    trainer.callbacks = [Witness(calls, "a"), Witness(calls, "b")]
    trainer.train(make_loader(16), make_loader(8, shuffle=False))
    hooks = [
        "train_begin",
        "epoch_begin",
        "step_end",
        "step_end",
        "evaluate_end",
        "epoch_end",
        "train_end",
    ]
    assert calls == [f"{name} on_{hook}" for hook in hooks for name in "ab"]


def test_a_callback_can_stop_the_run(make_model, make_loader) -> None:
    class StopAtOnce(Callback):
        def on_step_end(self, state: TrainState) -> None:
            state.stop_reason = "enough"

    trainer = make_trainer(make_model(), epochs=5)
    trainer.callbacks = [StopAtOnce()]
    state = trainer.train(make_loader(40), make_loader(8))
    assert (state.step, state.stop_reason) == (1, "enough")
    assert state.metrics  # what was trained is still evaluated


def test_a_callback_that_raises_ends_the_run(make_model, make_loader) -> None:
    class Fail(Callback):
        def on_epoch_begin(self, state: TrainState) -> None:
            raise LookupError

    trainer = make_trainer(make_model())
    trainer.callbacks = [Fail()]
    with pytest.raises(LookupError):
        trainer.train(make_loader())


def test_the_bar_goes_away_after_an_error_too(make_model, make_loader) -> None:
    class Fail(Callback):
        def on_step_end(self, state: TrainState) -> None:
            raise LookupError

    bar = ProgressBar(Console(file=io.StringIO(), force_terminal=True))
    trainer = make_trainer(make_model())
    trainer.callbacks = [bar, Fail()]
    with pytest.raises(LookupError):
        trainer.train(make_loader())
    assert not bar.progress.live.is_started


def test_divergence_is_told_with_what_to_do(make_model, make_loader) -> None:
    model = make_model()
    model.head.classifier.weight = model.head.classifier.weight * float("nan")
    with pytest.raises(ValueError, match=r"diverged at step 1: loss nan.*lower --lr"):
        make_trainer(model).train(make_loader())


def test_no_training_rows_are_refused(make_model, make_loader) -> None:
    with pytest.raises(ValueError, match="no rows"):
        make_trainer(make_model()).train(make_loader(0))


def test_early_stopping_waits_for_patience_evaluations() -> None:
    assert stalled(2, [0.5, 0.6, 0.6, 0.6, 0.9]).step == 4
    assert stalled(3, [0.5, 0.6, 0.6, 0.6, 0.9]).stop_reason == ""


def test_a_patience_of_zero_never_stops() -> None:
    assert stalled(0, [0.5] * 20).stop_reason == ""


def test_a_resumed_run_that_had_stalled_stops_again() -> None:
    state = stalled(2, [0.9, 0.1, 0.1])
    state.stop_reason = ""
    EarlyStopping(2).on_train_begin(state)
    assert state.stop_reason


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path)
    written: list[Path] = []
    save = lambda folder: (folder / "model.safetensors").touch()  # noqa: E731
    callback = Checkpointing(run, save, written.append, CheckpointPolicy(save_steps=5, keep_last=2))
    state = TrainState()
    callback.on_train_begin(state)
    for state.step in range(1, 21):
        callback.on_step_end(state)
    callback.on_epoch_end(state)
    callback.on_train_end(state)
    assert [path.name for path in run.resumable()] == ["step_000015", "step_000020"]
    assert len(written) == 4
    assert run.final.is_dir()


@pytest.mark.parametrize(
    ("policy", "stop_reason", "during", "after"),
    [
        (CheckpointPolicy(save_seconds=300), "", [6, 12], [6, 12]),
        (CheckpointPolicy(save_steps=5, save_seconds=300), "", [10, 15], [10, 15]),
        (CheckpointPolicy(save_seconds=None), "", [], []),
        (CheckpointPolicy(best_only=True, save_seconds=300), "", [12], []),
        (CheckpointPolicy(best_only=True, save_seconds=300), INTERRUPTED, [12], [17]),
        (CheckpointPolicy(best_only=True), INTERRUPTED, [], []),
    ],
)
def test_checkpoints_by_time(  # a step takes 50 seconds
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: CheckpointPolicy,
    stop_reason: str,
    during: list[int],
    after: list[int],
) -> None:
    now = [0]
    monkeypatch.setattr(checkpointing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    run = RunDir.create(tmp_path)
    callback = Checkpointing(run, lambda folder: None, lambda folder: None, policy)
    state = TrainState()
    callback.on_train_begin(state)
    for state.step in range(1, 18):
        now[0] += 50
        callback.on_step_end(state)
    assert [int(path.name[5:]) for path in run.resumable()] == during
    state.stop_reason = stop_reason
    callback.on_train_end(state)
    assert [int(path.name[5:]) for path in run.resumable()] == after
    assert run.final.is_dir() == (not policy.best_only)


def test_metrics_log_drops_lines_written_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    state = TrainState(history=[{"step": 1}])
    log = MetricsLog(path)
    log.on_train_begin(state)
    state.history.append({"step": 2})
    log.on_step_end(state)
    log.on_step_end(state)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_plain_lines_are_written_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert isinstance(create_progress(10), ProgressLines)


def test_a_notebook_gets_one_output_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert isinstance(create_progress(10), NotebookProgress)


@pytest.mark.parametrize(("width", "count"), [(40, 3), (80, 5), (120, 6)])
def test_the_bar_is_as_narrow_as_the_terminal(width: int, count: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    bar = ProgressBar(console)
    assert len(bar.progress.columns) == count
    state = TrainState(total_steps=1000, num_epochs=10, seconds=10, monitor="val_loss")
    state.rows_per_second, state.tokens_per_second, state.learning_rate = 1234.5, 20000, 1e-4
    bar.on_train_begin(state)
    state.count_step(loss=0.25, rows=8, tokens=80)
    bar.on_step_end(state)
    bar.close()
    assert " left" in console.file.getvalue()


def test_lines_tell_loss_rates_time_left_and_metrics() -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    state = TrainState(total_steps=40, num_epochs=2, seconds=10, monitor="val_accuracy")
    progress = ProgressLines(logging_steps=5)
    state.rows_per_second, state.tokens_per_second, state.learning_rate = 1234.5, 20000, 1e-4
    for _ in range(10):
        state.count_step(loss=0.25, rows=8, tokens=80)
        progress.on_step_end(state)
    state.record_evaluation(1, 0.3, {"val_loss": 0.5, "val_accuracy": 0.75})
    progress.on_evaluate_end(state)
    logger.remove(sink)
    assert [line.split("/")[0] for line in lines[:3]] == ["step 1", "step 5", "step 10"]
    assert lines[2].strip() == (
        "step 10/40  epoch 1/2  loss 0.2500  lr 1.00e-04  1,234 rows/s  20,000 tokens/s  0:30 left"
    )
    assert "val_accuracy 0.75  *" in lines[3]


def test_the_bar_shows_loss_and_goes_away(make_model, make_loader) -> None:
    screen = io.StringIO()
    bar = ProgressBar(Console(file=screen, force_terminal=True, width=120))
    trainer = make_trainer(make_model(), epochs=1)
    trainer.callbacks = [bar]
    trainer.train(make_loader(40), make_loader(8))
    assert "loss" in screen.getvalue()
    assert not bar.progress.live.is_started


def test_times_are_readable() -> None:
    assert [describe_time(seconds) for seconds in (0, 42.4, 725, 3800)] == [
        "0:00",
        "0:42",
        "12:05",
        "1:03:20",
    ]


@pytest.mark.parametrize("metric", ["val_accuracy", "val_absent", ""])
def test_curves_are_drawn_of_any_history(tmp_path: Path, metric: str) -> None:
    state = TrainState(monitor="val_loss", mode="min")
    for step in range(1, 30):
        state.count_step(loss=1 / step, rows=4, tokens=40)
        state.record_step()
        if step % 10 == 0:
            state.record_evaluation(
                step // 10, 1 / step, {"val_loss": 0.5 + 1 / step, "val_accuracy": 0.5}
            )
    draw_curves(state, tmp_path / "curves.png", metric, "a title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("loss", [0.0, 3e-7, 0.25, 1e12, float("nan")])
def test_curves_of_one_step_are_drawn_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # its import would take half a second
    state = TrainState(monitor="val_accuracy")
    state.count_step(loss=loss, rows=4, tokens=40)
    state.record_step()
    state.record_evaluation(1, loss, {"val_loss": loss, "val_accuracy": 1.0})
    draw_curves(state, tmp_path / "curves.png", "val_accuracy", "a title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.61, 0.74, ["0.62", "0.64", "0.66", "0.68", "0.70", "0.72", "0.74"]),
        (0, 187, ["0", "50", "100", "150"]),
        (-0.05, 0.05, ["-0.04", "-0.02", "0.00", "0.02", "0.04"]),
        (1.5e9, 1.53e9, ["1.5e+09", "1.505e+09", "1.51e+09", "1.515e+09"]),
        (2e-6, 4.1e-6, ["2e-06", "2.5e-06", "3e-06", "3.5e-06", "4e-06"]),
    ],
)
def test_ticks_are_round_numbers_that_differ(low: float, high: float, labels: list[str]) -> None:
    assert [label for _, label in choose_ticks(low, high)][: len(labels)] == labels


def test_no_picture_is_drawn_of_nothing(tmp_path: Path) -> None:
    Curves(tmp_path / "curves.png").on_train_end(TrainState())
    assert not (tmp_path / "curves.png").exists()
