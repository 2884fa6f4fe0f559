"""A run that diverges keeps its last good checkpoint, names the row, and goes on from there without the update."""

from pathlib import Path

import pytest

from bert_playground.inference import Predictor
from bert_playground.runs import RunDir
from bert_playground.training import build, run_training
from bert_playground.training.core import Callback, TrainState
from bert_playground.training.core.divergence import DivergenceError


@pytest.fixture
def _poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of step 9 is not a number."""

    class Poison(Callback):
        def __init__(self, head) -> None:
            self.head, self.loss = head, head.loss

        def on_epoch_begin(self, state: TrainState) -> None:
            self.on_step_end(state)

        def on_step_end(self, state: TrainState) -> None:
            bad = lambda logits, labels: self.loss(logits, labels) * float("nan")  # noqa: E731
            self.head.loss = bad if state.step == 8 else self.loss

    make_callbacks = build._make_callbacks
    monkeypatch.setattr(
        build,
        "_make_callbacks",
        lambda trainer, *more: [*make_callbacks(trainer, *more), Poison(trainer.model.head)],
    )


@pytest.mark.usefixtures("_poisoned")
def test_the_last_good_checkpoint_stays_and_the_run_goes_on_without_the_update(
    make_config, fruit: Path
) -> None:
    config = make_config()
    with pytest.raises(DivergenceError, match="diverged at step 9: loss nan") as caught:
        run_training(config)
    (path,) = config.training.output_dir.iterdir()
    run = RunDir(path)
    assert "not finite first: the loss" in str(caught.value)
    assert "training row" in str(caught.value)
    assert "(row " in str(caught.value)  # the id column is called row
    assert "colour" in str(caught.value)  # the text that the model read
    saved = run.checkpoints / "step_000006"
    assert caught.value.__notes__ == [
        f"kept: {saved}; go on from there with: bert train --resume {path} --skip-nonfinite"
    ]
    assert sorted(each.name for each in run.checkpoints.iterdir()) == ["best", saved.name]
    assert Predictor.load(run.best).checkpoint == run.best
    skipping = make_config(**{"training.skip_nonfinite": True})
    result = run_training(skipping, {"training.skip_nonfinite": "flag"}, resume=path)
    assert (result.summary["steps"], result.summary["skipped_steps"]) == (12, 1)
