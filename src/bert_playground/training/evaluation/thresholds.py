"""tune_thresholds: decision thresholds of a multilabel head from validation rows, stored with the model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bert_playground.data.core.types import Loader
from bert_playground.inference import predict_batches
from bert_playground.logger import logger
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import load_model, update_head
from bert_playground.models.heads.thresholds import fit_thresholds
from bert_playground.runs import RunDir
from bert_playground.training.metrics import make_scorer


def tune_thresholds(
    run: RunDir, names: Sequence[str], val_data: Loader, trained: BertWithHead
) -> dict[str, Any]:
    """Give the checkpoints `best` and `final` of a multilabel run, and the model in memory, their thresholds.

    Args:
        run: whose checkpoints.
        names: of the labels.
        val_data: rows with their labels.
        trained: the model after the last step.

    Returns:
        Thresholds per label, and F1 before and after on the rows that they were tuned on, for the first checkpoint.
    """
    found: dict[str, Any] = {}
    for folder in (run.best, run.final):
        if not folder.is_dir():
            continue
        model = load_model(folder)
        model.encoder.dtype = trained.encoder.dtype
        answer = predict_batches(model, val_data)
        assert answer.labels is not None
        thresholds = fit_thresholds(answer.labels, answer.scores)
        update_head(folder, thresholds=thresholds)
        if found:
            continue
        before = make_scorer("multilabel")(answer.labels, answer.scores)
        after = make_scorer("multilabel", thresholds=thresholds)(answer.labels, answer.scores)
        found = {
            "thresholds": dict(zip(names, thresholds, strict=True)),
            "f1_macro_at_half": before["f1_macro"],
            "f1_macro": after["f1_macro"],
        }
        logger.info(
            f"thresholds tuned on {len(answer.labels)} validation rows: f1_macro {before['f1_macro']:.4f} at 0.5, "
            f"{after['f1_macro']:.4f} with them, on those same rows; rows never seen will gain less"
        )
    answer = predict_batches(trained, val_data)
    assert answer.labels is not None
    learned = fit_thresholds(answer.labels, answer.scores)
    trained.head.config = replace(trained.head.config, thresholds=learned)
    return found
