"""refit: a model trained once more, on training and validation rows together, for as long as validation found best."""

import math
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import Prepared
from bert_playground.documents import read_json
from bert_playground.files import replaced_directory
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.models.checkpoint import save_model
from bert_playground.models.hub_files import CONFIG
from bert_playground.runs import RunDir
from bert_playground.training.build import (
    begin_words,
    create_task_model,
    fit_pipeline,
    make_trainer,
)
from bert_playground.training.callbacks import create_progress
from bert_playground.training.fit_data import make_loaders


def refit(
    prepared: Prepared, config: RunConfig, run: RunDir, epochs: int, best_step: int | None = None
) -> None:
    """Train a new model on all rows that have labels, and keep it as `checkpoints/refit`.

    Everything that is fitted is fitted anew: vocabulary, bins, labels. It trains for the epochs after which the run was
    best, and its rate falls to zero in them. The scores of the run, on rows that this model has seen, are the forecast
    for it. Decision thresholds stay those of the best model, as no row is left to tune them on.

    Args:
        prepared: with validation rows.
        config: of the run.
        run: its folder.
        epochs: after which the run was best.
        best_step: after which it was, where `max_steps` cut that epoch short; None: it was whole.

    Raises:
        ValueError: the table is streamed, so its rows are not at hand together.
    """
    if prepared.stream is not None:
        raise ValueError(
            "training.refit needs the whole table in memory, but it is streamed; set data.streaming to false, or refit to "
            "false"
        )
    rows = pl.concat([prepared.train, prepared.val.select(prepared.train.columns)])
    share = rows.height / prepared.train.height
    logger.info(
        f"refit on all {count_of(rows.height, 'row')} for {count_of(epochs, 'epoch')}, after which validation "
        "was best; the scores above are the forecast for it"
    )
    most = None if best_step is None else math.ceil(best_step * share)
    config = config.with_changes({"training": {"epochs": epochs, "max_steps": most}})
    mx.random.seed(config.training.seed)
    np.random.seed(config.training.seed)
    prepared = replace(prepared, train=rows)
    pipeline = fit_pipeline(prepared, config)
    train_data, _ = make_loaders(pipeline, prepared, config)
    assert train_data.labels is not None
    model = create_task_model(config, pipeline, train_data.labels, _read_thresholds(run))
    begin_words(model, config, pipeline, train_data)
    trainer = make_trainer(model, config, pipeline=pipeline, run=run, num_rows=train_data.num_rows)
    trainer.callbacks = [create_progress(config.training.logging_steps)]
    trainer.train(train_data)
    with replaced_directory(run.refit) as folder:
        save_model(model, folder, pipeline.classes)
        pipeline.save(folder)


def _read_thresholds(run: RunDir) -> dict[str, Any]:
    """Those that were tuned for the best model."""
    kept = run.best if run.best.is_dir() else run.final
    head = read_json(kept / CONFIG).get("head") if kept.is_dir() else None
    thresholds = (head or {}).get("thresholds")
    return {"thresholds": tuple(thresholds)} if thresholds else {}
