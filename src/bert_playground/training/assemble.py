"""make_trainer: model, optimizer, schedule and callbacks put together as the configuration says."""

from pathlib import Path

from loguru import logger

from bert_playground.config.schema import RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.lookup import look_up
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import save_model
from bert_playground.runs import RunDir
from bert_playground.tasks import TASKS, Task
from bert_playground.training.callbacks import (
    Checkpointing,
    Curves,
    EarlyStopping,
    Kept,
    MetricsLog,
    create_progress,
)
from bert_playground.training.core import (
    OPTIMIZERS,
    SCHEDULES,
    AdamW,
    Callback,
    Loop,
    Schedule,
    Trainer,
)
from bert_playground.training.core.memory import set_precision, use_gradient_checkpointing
from bert_playground.training.core.step import is_compilation_worthwhile
from bert_playground.training.integrations import MLflowCallback
from bert_playground.training.metrics import choose_monitor, make_report
from bert_playground.training.recipe import Recipe, choose_recipe


def make_trainer(
    model: BertWithHead,
    config: RunConfig,
    *,
    pipeline: TextPipeline | None,
    run: RunDir,
    num_rows: int,
) -> Trainer:
    """Put model, optimizer, schedule and callbacks together as the configuration says."""
    training, head_type = config.training, model.head.head_type
    task = TASKS[pipeline.task if pipeline is not None else head_type]
    recipe = choose_recipe(
        is_pretrained=config.model.pretrained is not None,
        has_adapters=config.lora.enabled,
        is_classification=task.is_classification,
        num_rows=num_rows,
        batch_size=training.batch_size * training.gradient_accumulation_steps,
    )
    metric = config.checkpoint.best_model_metric or training.metric
    monitor, mode = choose_monitor(task.name, metric, config.checkpoint.best_model_mode)
    also = [name for name in (training.metric, monitor) if name and not name.endswith("loss")]
    decode = (
        None
        if task.is_classification or pipeline is None
        else lambda x: pipeline.decode(x).to_numpy()
    )
    trainer = Trainer(
        model,
        _create_optimizer(config),
        _create_schedule(config, recipe),
        Loop(
            epochs=training.epochs or recipe.epochs,
            max_steps=training.max_steps,
            gradient_accumulation_steps=training.gradient_accumulation_steps,
            max_grad_norm=training.max_grad_norm,
            logging_steps=training.logging_steps,
            use_compilation=training.use_compilation and is_compilation_worthwhile(),
            monitor=monitor,
            mode=mode,
        ),
        make_report(task.name, *(name.removeprefix("val_") for name in also), decode=decode),
    )
    precision = set_precision(model, training.precision)
    if training.gradient_checkpointing:
        use_gradient_checkpointing(model)
    logger.info(
        f"{trainer.optimizer.describe(model.trainable_parameters())}; activations in {precision}"
    )
    trainer.callbacks += _make_callbacks(trainer, config, run, task, recipe, pipeline)
    return trainer


def _create_optimizer(config: RunConfig) -> AdamW:
    options = config.optimizer
    return look_up(OPTIMIZERS, options.type, "optimizer")(
        weight_decay=options.weight_decay, beta1=options.beta1, beta2=options.beta2, eps=options.eps
    )


def _create_schedule(config: RunConfig, recipe: Recipe) -> Schedule:
    return Schedule(
        decay=look_up(SCHEDULES, config.scheduler.type, "schedule"),
        peak=config.optimizer.learning_rate or recipe.learning_rate,
        warmup_steps=config.scheduler.warmup_steps,
        warmup_ratio=config.scheduler.warmup_ratio,
    )


def _make_callbacks(
    trainer: Trainer,
    config: RunConfig,
    run: RunDir,
    task: Task,
    recipe: Recipe,
    pipeline: TextPipeline | None,
) -> list[Callback]:
    """In the order in which they are told; what reads a checkpoint comes after what writes it."""

    def save(folder: Path) -> None:
        save_model(trainer.model, folder, labels)
        if pipeline is not None:
            pipeline.save(folder)

    labels = pipeline.classes if pipeline is not None else None
    asked, training = config.checkpoint, config.training
    monitor = trainer.loop.monitor
    metric = f"val_{task.metric}" if monitor == "val_loss" else monitor
    patience = training.early_stopping_patience
    callbacks = [
        create_progress(training.logging_steps),
        MetricsLog(run.metrics),
        EarlyStopping(recipe.patience if patience is None else patience),
    ]
    if asked.enable_checkpointing:
        kept = Kept(asked.save_best_model, asked.save_best_only, asked.save_steps, asked.keep_last)
        callbacks.append(Checkpointing(run, save, trainer.save, kept))
    title = (
        f"{config.data.train.parent.name}: {pipeline.target}"
        if pipeline and config.data.train
        else ""
    )
    callbacks.append(Curves(run.curves, metric, title))
    if config.tracking.mlflow:
        settings = {f"{section}.{key}": value for section, group in config for key, value in group}
        callbacks.append(
            MLflowCallback(run, training.output_dir, config.tracking.experiment, settings)
        )
    return callbacks
