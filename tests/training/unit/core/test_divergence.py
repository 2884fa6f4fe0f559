"""A loss, gradient or weight that is not finite: where it begins, with which rows, and what is left out."""

import math
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.logger import logger
from bert_playground.training.core import SCHEDULES, AdamW, Callback, Loop, Schedule, Trainer
from bert_playground.training.core.divergence import (
    MOST_IN_A_ROW,
    DivergenceError,
    RowNames,
    find_divergence,
)
from bert_playground.training.core.resume import random_key
from bert_playground.training.core.state import TrainState
from bert_playground.training.metrics import make_scorer


class Poison(Callback):
    """Makes the loss NaN from one step on, until another."""

    def __init__(self, model, start: int, end: int) -> None:
        self.head, self.start, self.end = model.head, start, end
        self.loss = model.head.loss

    def on_step_end(self, state: TrainState) -> None:
        is_bad = self.start <= state.step + 1 < self.end
        bad = lambda logits, labels: self.loss(logits, labels) * float("nan")  # noqa: E731
        self.head.loss = bad if is_bad else self.loss


def make_trainer(model, *callbacks: Callback, epochs: int = 2, **loop) -> Trainer:
    settings = {"epochs": epochs, "monitor": "val_accuracy", "mode": "max", **loop}
    schedule = Schedule(SCHEDULES["linear"], peak=1e-2)
    return Trainer(model, AdamW(), schedule, Loop(**settings), make_scorer("binary"), callbacks)


def weights(model) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in tree_flatten(model.trainable_parameters())}


def test_the_first_output_that_is_not_finite_and_its_row_are_found(make_model, make_loader) -> None:
    model, batch = make_model(), next(iter(make_loader(8)))
    word = int(np.array(batch.tokens.input_ids).ravel()[-1])  # of the last row alone
    table = next(
        module
        for name, module in model.named_modules()
        if hasattr(module, "weight") and module.weight.shape[0] == 50
    )
    table.weight = mx.where(mx.arange(50)[:, None] == word, 3e38, table.weight)
    found = find_divergence(model, [batch], random_key())
    assert found.part.startswith("the output of encoder.embeddings"), found.part
    texts = []
    names = RowNames()
    names.read = lambda ids: texts.append(word in ids) or ""
    names.describe(found._replace(rows=range(8)))
    assert list(found.rows) == [row for row, has_word in enumerate(texts) if has_word]


def test_a_weight_is_named(make_model, make_loader) -> None:
    model = make_model()
    model.head.classifier.weight = model.head.classifier.weight * float("nan")
    with pytest.raises(DivergenceError, match=r"the weight head\.classifier\.weight") as caught:
        make_trainer(model).train(make_loader())
    assert "all rows of the batch: training row" in str(caught.value)


def test_labels_are_named_with_their_row(make_model, make_loader) -> None:
    model, batch = make_model("regression"), next(iter(make_loader(8, task="regression")))
    labels = np.array(batch.labels)
    labels[5] = np.inf
    found = find_divergence(model, [batch._replace(labels=mx.array(labels))], random_key())
    assert (found.part, list(found.rows)) == ("the labels", [5])


def test_a_gradient_is_named_where_the_loss_is_finite(make_model, make_loader) -> None:
    model, batch = make_model(), next(iter(make_loader(8)))
    loss = model.head.loss

    def root(logits, labels):  # finite, with an infinite slope
        return loss(logits, labels) + mx.sqrt(mx.sum(logits * 0.0))

    model.head.loss = root
    found = find_divergence(model, [batch], random_key())
    assert found.part.startswith("the gradient of head."), found.part


def test_looking_changes_neither_weights_nor_random_numbers(make_model, make_loader) -> None:
    model, batch = make_model(), next(iter(make_loader(8)))
    before, key = weights(model), np.array(random_key())
    call = type(model).__call__
    find_divergence(model, [batch], random_key())
    after = weights(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.array_equal(np.array(random_key()), key)
    assert type(model).__call__ is call


def test_rows_are_named_by_number_id_and_text(make_model, make_loader) -> None:
    batch = next(iter(make_loader(8, shuffle=False)))
    names = RowNames()
    number = int(np.array(batch.rows)[2])
    found = find_divergence(
        make_model(), [batch._replace(labels=mx.full(8, float("nan")))], random_key()
    )
    found = found._replace(rows=[2])
    assert names.describe(found) == f"rows of the batch: training row {number}"
    names.read = lambda ids: "word " * 40
    names.ids = ("PassengerId", [f"id{row}" for row in range(8)])
    said = names.describe(found)
    assert f'training row {number} (PassengerId id{number}) "word word' in said
    assert said.endswith('…"')


def test_a_bad_update_ends_the_run_and_leaves_the_weights_as_they_were(
    make_model, make_loader
) -> None:
    model, kept = make_model(), {}

    class Keep(Callback):
        def on_step_end(self, state: TrainState) -> None:
            kept.clear()
            kept.update(weights(model))

    trainer = make_trainer(model, Poison(model, 4, 5), Keep())
    with pytest.raises(DivergenceError, match="diverged at step 4: loss nan") as caught:
        trainer.train(make_loader())
    assert "--skip-nonfinite" in str(caught.value)
    assert "not finite first: the loss" in str(caught.value)
    after = weights(model)
    assert all(np.array_equal(kept[name], after[name]) for name in kept)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_updates_that_are_left_out_are_counted_and_said(
    make_model, make_loader, ema_decay: float, accumulation: int
) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}", level="WARNING")
    model = make_model()
    options = {"ema_decay": ema_decay, "gradient_accumulation_steps": accumulation}
    trainer = make_trainer(model, Poison(model, 2, 4), skip_nonfinite=True, epochs=3, **options)
    state = trainer.train(make_loader(), make_loader(16, shuffle=False))
    logger.remove(sink)
    assert state.skipped_steps == 2
    assert state.step == state.total_steps
    assert all(math.isfinite(record["loss"]) for record in state.history if "loss" in record)
    assert all(np.isfinite(array).all() for array in weights(model).values())
    assert sum("is left out" in line for line in lines) == 2
    assert f"2 of {state.step} updates were left out" in lines[-1]


def test_a_step_that_is_left_out_is_as_if_its_batch_were_not_there(make_model, make_loader) -> None:
    def train(skips: bool) -> dict[str, np.ndarray]:
        model, loader = make_model(dropout=0.0), make_loader(24, shuffle=False)
        batches = list(loader)
        if skips:
            batches[1:1] = batches[:1]
        poison = Poison(model, 2, 3) if skips else Callback()
        trainer = make_trainer(model, poison, skip_nonfinite=skips, epochs=1)
        trainer.schedule = replace(trainer.schedule, decay=SCHEDULES["constant"])
        loader.__class__ = type(
            "Fixed",
            (type(loader),),
            {
                "__len__": lambda self: len(batches),
                "iterate": lambda self, epoch=0, start=0: iter(batches[start:]),
            },
        )
        trainer.train(loader)
        return weights(model)

    whole, skipped = train(skips=False), train(skips=True)
    assert all(np.array_equal(whole[name], skipped[name]) for name in whole)


def test_too_many_in_a_row_are_given_up(make_model, make_loader) -> None:
    model = make_model()
    trainer = make_trainer(model, Poison(model, 3, 99), skip_nonfinite=True, epochs=9)
    with pytest.raises(DivergenceError, match=rf"at step {2 + MOST_IN_A_ROW}.*the {MOST_IN_A_ROW}"):
        trainer.train(make_loader(160))


def test_an_epoch_without_a_good_update_is_given_up(make_model, make_loader) -> None:
    model = make_model()
    model.head.loss = lambda logits, labels: mx.sum(logits) * float("nan")
    trainer = make_trainer(model, skip_nonfinite=True)
    with pytest.raises(DivergenceError, match="epoch 1: no update was finite"):
        trainer.train(make_loader(16))


def test_weights_that_an_update_made_infinite_reach_no_checkpoint(
    make_model, make_loader, tmp_path: Path
) -> None:
    model, evaluated = make_model(), []

    class Spoil(Callback):
        def on_step_end(self, state: TrainState) -> None:
            if state.step == 5:
                model.head.classifier.bias = model.head.classifier.bias + float("inf")

        def on_evaluate_end(self, state: TrainState) -> None:
            evaluated.append(state.step)

    trainer = make_trainer(model, Spoil())
    with pytest.raises(DivergenceError, match=r"step 5: the weight head\.classifier\.bias"):
        trainer.train(make_loader(), make_loader(8))
    assert evaluated == []
    with pytest.raises(DivergenceError):
        trainer.save(tmp_path)


def test_an_evaluation_without_a_number_is_never_better() -> None:
    state = TrainState(monitor="val_loss", mode="min")
    for value in (float("nan"), 0.5, float("nan"), 0.4):
        state.step += 1
        state.record_evaluation(state.step, 0.1, {"val_loss": value})
    assert state.best_metrics == {"val_loss": 0.4}
