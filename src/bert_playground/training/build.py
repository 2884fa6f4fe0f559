"""fit_pipeline, create_task_model, make_trainer: what the configuration says, put together."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_playground.config.schema import RunConfig
from bert_playground.data.augmentation.augmentation import Augmentation
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.loaders.streaming import StreamingLoader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared
from bert_playground.data.templates.features import has_free_text
from bert_playground.data.templates.row_text import SCRATCH_TOKENIZER
from bert_playground.distributed.group import joined_group
from bert_playground.inference import Model, has_adapters
from bert_playground.logger import logger
from bert_playground.logs import tell_if_slow
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_from_config
from bert_playground.models.head_match import Answers
from bert_playground.models.hub_files import fetch_folder
from bert_playground.models.initialization import add_to_words
from bert_playground.runs import RunDir
from bert_playground.tasks import TASKS
from bert_playground.training.callbacks import (
    Checkpointing,
    CheckpointPolicy,
    Curves,
    EarlyStopping,
    MetricsLog,
    create_progress,
)
from bert_playground.training.callbacks.own_callbacks import make_own_callbacks
from bert_playground.training.class_weights import weights_from_labels
from bert_playground.training.core import Callback, Loop, Trainer
from bert_playground.training.core.averaging import describe_average
from bert_playground.training.core.precision import set_precision, use_gradient_checkpointing
from bert_playground.training.core.regularization import NO_REGULARIZATION, Regularization
from bert_playground.training.core.step import is_compilation_worthwhile
from bert_playground.training.core.trainer import Scorer
from bert_playground.training.create_optimizer import (
    choose_rate,
    create_optimizer,
    create_regularization,
    create_schedule,
    freeze,
)
from bert_playground.training.integrations import MLflowCallback
from bert_playground.training.joined_ranks import active_ranks
from bert_playground.training.metrics import choose_monitor, make_scorer
from bert_playground.training.recipe import Recipe, as_before_averaging, choose_recipe
from bert_playground.training.track_run import active_run


def fit_pipeline(prepared: Prepared, config: RunConfig) -> TextPipeline:
    """How the rows of prepared tables become tokens, learned from the training rows; see `TextPipeline.fit`."""
    name = config.model.pretrained
    folder = fetch_folder(name) if name else None
    rows = prepared.train
    with tell_if_slow(f"learning from {rows.height:,} rows how {rows.width:,} columns are read"):
        return TextPipeline.fit(
            rows,
            prepared.schema,
            prepared.text,
            pretrained_dir=folder,
            vocab_size=config.model.vocab_size,
            augmentation=Augmentation(**config.augmentation.model_dump()),
        )


def create_task_model(
    config: RunConfig,
    pipeline: TextPipeline,
    labels: np.ndarray,
    head_options: Mapping[str, Any] | None = None,
) -> BertWithHead:
    """The model that a run asks for, for the rows and the question of a pipeline.

    Args:
        config: what was asked for.
        pipeline: fitted.
        labels: of the training rows, which balanced class weights are made from.
        head_options: fields of HeadConfig that are settled already.
    """
    return create_from_config(
        config,
        TASKS[pipeline.task],
        num_labels=max(pipeline.num_labels, len(pipeline.classes)),
        vocab_size=pipeline.vocab_size,
        pad_token_id=pipeline.pad_token_id,
        # Rows are at most as long as they were when the checkpoint was pretrained on this text.
        max_length=min(config.data.max_length, pipeline.max_length),
        head_options={
            **weights_from_labels(config.head, pipeline.task, pipeline.classes, labels),
            "num_numbers": 0 if pipeline.number_tokens else len(pipeline.numbers),
            **(head_options or {}),
        },
        number_tokens=pipeline.number_tokens,
        num_rows=len(labels),
        has_text=has_free_text(pipeline.features),
        added_tokens=pipeline.tokenizer.added_tokens,
        answers=Answers.of(pipeline.target, pipeline.labels.to_dict()),
    )


def begin_words(
    model: BertWithHead,
    config: RunConfig,
    pipeline: TextPipeline,
    data: MLXLoader | StreamingLoader,
    *,
    is_resumed: bool = False,
) -> None:
    """Begin the word vectors of a model from random weights as `model.word_vectors` says.

    Args:
        model: of `create_task_model`.
        config: what was asked for.
        pipeline: fitted.
        data: the training rows.
        is_resumed: a checkpoint brings the words.

    Raises:
        ValueError: rows that are streamed cannot be counted.
    """
    if is_resumed or config.model.word_vectors == "random" or config.model.pretrained is not None:
        return
    if isinstance(data, StreamingLoader):
        raise ValueError(
            "model.word_vectors cooccurrence needs the whole table in memory, but it is streamed; set data.streaming to "
            "false, or word_vectors to random"
        )
    # Not before: SciPy and scikit-learn take a third of a second and more.
    from bert_playground.data.tokens.cooccurrence import cooccurrence_vectors

    vectors = cooccurrence_vectors(data.table, pipeline.vocab_size, model.encoder.hidden_size)
    for first, last in pipeline.number_tokens:
        vectors[first:last] = 0.0  # the ramps tell which numbers are near each other
    add_to_words(model.encoder, vectors)


def make_trainer(
    model: BertWithHead,
    config: RunConfig,
    *,
    pipeline: TextPipeline | None,
    run: RunDir,
    num_rows: int,
    judged_by: str | None = None,
    is_former: bool = False,
) -> Trainer:
    """Put model, optimizer, schedule and callbacks together as the configuration says.

    Args:
        model: with its head.
        config: what was asked for.
        pipeline: that makes its rows; None: they are custom loaders without a pipeline.
        run: where everything is written.
        num_rows: of the training data.
        judged_by: the metric of a known data set, which is reported too.
        is_former: the run began before weights were averaged, and goes on by the recipe of that time.
    """
    training = config.training
    task = TASKS[pipeline.task if pipeline is not None else model.head.task]
    kind = {
        "is_pretrained": config.model.pretrained is not None or model.pretrained_dir is not None,
        "is_classification": task.is_classification,
    }
    batch_size = training.rows_per_batch * training.gradient_accumulation_steps
    recipe = choose_recipe(
        **kind,
        has_adapters=config.lora.enabled or has_adapters(model),
        num_rows=num_rows,
        batch_size=batch_size,
        hidden_size=model.encoder.hidden_size,
        has_own_vocabulary=pipeline is not None and pipeline.tokenizer_name == SCRATCH_TOKENIZER,
    )
    if is_former:
        recipe = as_before_averaging(
            recipe, **kind, steps_per_epoch=math.ceil(num_rows / batch_size)
        )
    metric = config.checkpoint.best_model_metric or training.metric
    if metric is None and task.name == "regression" and learns_squares(model):
        metric = "mae"  # of few rows, one that is far off decides the squared error alone
    monitor, mode = choose_monitor(task.name, metric, config.checkpoint.best_model_mode)
    asked = (training.metric, monitor, judged_by)
    also = [name for name in asked if name and not name.endswith("loss")]
    decode = None if pipeline is None else pipeline.in_units
    labels = pipeline.classes if pipeline is not None else None

    def save(folder: Path) -> None:
        save_model(model, folder, labels)
        if pipeline is not None:
            pipeline.save(folder)

    objective = Objective(
        make_scorer(task.name, *(name.removeprefix("val_") for name in also), decode=decode),
        monitor,
        mode,
        drawn=f"val_{task.metric}" if monitor == "val_loss" else monitor,
        title=_name_run(config, pipeline.target) if pipeline else "",
    )
    freeze(model, training.freeze)
    trainer = build_trainer(
        model,
        config,
        run,
        recipe,
        objective,
        save,
        create_regularization(training),
        is_gradual=training.gradual_unfreezing,
    )
    trainer.row_names.read = None if pipeline is None else pipeline.tokenizer.read
    return trainer


def learns_squares(model: BertWithHead) -> bool:
    """Whether the loss of a regression head is the mean squared error."""
    head = model.head.config
    return head.loss_type == "mse" and not head.uncertainty_estimation


@dataclass(frozen=True)
class Objective:
    """What a run is judged by: its metrics, and which of them chooses the best epoch.

    Attributes:
        scorer: labels and scores to metrics by name.
        monitor: decides which evaluation is the best.
        mode: "min" or "max".
        drawn: the metric beside the loss in the picture.
        title: of the picture.
    """

    scorer: Scorer
    monitor: str
    mode: str
    drawn: str
    title: str


def build_trainer(
    model: Model,
    config: RunConfig,
    run: RunDir,
    recipe: Recipe,
    objective: Objective,
    save: Callable[[Path], None],
    regularization: Regularization = NO_REGULARIZATION,
    *,
    is_gradual: bool = False,
) -> Trainer:
    """A trainer with its callbacks, whatever is learned.

    Args:
        model: with its head.
        config: what was asked for.
        run: where everything lies.
        recipe: where the configuration leaves something open.
        objective: what the run is judged by.
        save: writes what readers of a checkpoint need into an existing folder.
        regularization: beside the loss, of a task.
        is_gradual: whether layers are unfrozen epoch by epoch.
    """
    training = config.training
    trainer = Trainer(
        model,
        create_optimizer(config.optimizer, model, is_gradual=is_gradual),
        create_schedule(config.scheduler, choose_rate(config.optimizer, recipe)),
        Loop(
            epochs=training.epochs or recipe.epochs,
            max_steps=training.max_steps,
            max_seconds=training.max_time,
            gradient_accumulation_steps=training.gradient_accumulation_steps,
            max_grad_norm=training.max_grad_norm,
            skip_nonfinite=training.skip_nonfinite,
            logging_steps=training.logging_steps,
            use_compilation=training.use_compilation and is_compilation_worthwhile(),
            ema_decay=recipe.ema_decay if training.ema_decay is None else training.ema_decay,
            swa_start=training.swa_start,
            regularization=regularization,
            gradual_unfreezing=is_gradual,
            monitor=objective.monitor,
            mode=objective.mode,
        ),
        objective.scorer,
        ranks=active_ranks(),
    )
    precision = set_precision(model, training.precision)
    if training.gradient_checkpointing:
        use_gradient_checkpointing(model)
    logger.info(
        f"{trainer.optimizer.describe(model.trainable_parameters())}; activations in {precision}"
    )
    loop = trainer.loop
    if loop.ema_decay or loop.swa_start is not None:
        average = describe_average(loop.ema_decay, loop.swa_start)
        logger.info(f"evaluated and kept: {average}; step_* checkpoints hold the raw ones too")
    if trainer.unfreezing is not None:
        logger.info(trainer.unfreezing.describe(loop.epochs))
    trainer.callbacks += _make_callbacks(trainer, config, run, recipe, objective, save)
    return trainer


def _name_run(config: RunConfig, what: str) -> str:
    return f"{config.data.train.parent.name}: {what}" if config.data.train else ""


def _make_callbacks(
    trainer: Trainer,
    config: RunConfig,
    run: RunDir,
    recipe: Recipe,
    objective: Objective,
    save: Callable[[Path], None],
) -> list[Callback]:
    """In the order in which they are told; what reads a checkpoint comes after what writes it."""
    asked, training = config.checkpoint, config.training
    patience = training.early_stopping_patience
    if not joined_group().is_first:
        return []  # rank 0 decides for all, and writes
    callbacks = [
        create_progress(training.logging_steps),
        MetricsLog(run.metrics),
        EarlyStopping(recipe.patience if patience is None else patience),
    ]
    if asked.enable_checkpointing:
        kept = CheckpointPolicy(
            asked.save_best_model,
            asked.save_best_only,
            asked.save_steps,
            asked.keep_last,
            asked.keep_epochs,
            asked.save_minutes * 60 or None,
        )
        callbacks.append(Checkpointing(run, save, trainer.save, kept))
    callbacks.append(Curves(run.curves, objective.drawn, objective.title))
    tracked = active_run()
    if config.tracking.mlflow and tracked is not None:
        callbacks.append(MLflowCallback(tracked))
    return callbacks + make_own_callbacks(training.callbacks, training.callbacks_dir)
