"""run_training: prepare, pretrain where it is asked for, and fit, from tables to checkpoints; create_trainer: for models and loaders of one's own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import polars as pl

from bert_playground.config.load import load_config
from bert_playground.config.schema import RunConfig
from bert_playground.data.drift.checkpoint_drift import warn_of_checkpoint_drift
from bert_playground.data.loaders import MLXLoader, StreamingLoader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared, prepare, prepare_frames
from bert_playground.data.reading.examples import describe_type
from bert_playground.distributed.group import joined_group
from bert_playground.documents import read_json
from bert_playground.logger import logger
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import beyond_transformers
from bert_playground.models.ensemble import Ensemble
from bert_playground.models.hub_files import CONFIG, fetch_folder
from bert_playground.runs import MEMBERS, RunDir
from bert_playground.training.batch_size import settle_batch_size
from bert_playground.training.build import (
    begin_words,
    create_task_model,
    fit_pipeline,
    make_trainer,
)
from bert_playground.training.core import Callback, Loop, TrainState
from bert_playground.training.ensemble_trainer import EnsembleTrainer
from bert_playground.training.evaluation.thresholds import tune_thresholds
from bert_playground.training.fit_data import make_loaders
from bert_playground.training.ignored_settings import (
    RunFacts,
    log_ignored_settings,
    log_settings_of_several,
)
from bert_playground.training.model_trainer import ModelTrainer
from bert_playground.training.pretrain_first import is_pretrained_first, pretrain_first
from bert_playground.training.refit import refit
from bert_playground.training.report.conclude import conclude_run
from bert_playground.training.run_folder import RunResult, run_in_folder
from bert_playground.training.start import is_former_run, read_sources, start_run
from bert_playground.training.summary import summarise
from bert_playground.training.track_run import track_tables

Configuration = RunConfig | Mapping[str, Any] | str | Path


def run_training(
    config: RunConfig, sources: Mapping[str, str] | None = None, resume: Path | None = None
) -> RunResult:
    """Train as the configuration says, from tables to checkpoints.

    Args:
        config: what was asked for.
        sources: for each dotted path of the configuration where its value came from.
        resume: a run folder, or one of its checkpoints: go on from there with the configuration stored in the run.

    Raises:
        ValueError: tables, configuration or checkpoint do not fit, or several models are asked for; says what to do.
        FileNotFoundError: a file is not there.
        KeyboardInterrupt: Ctrl-C, after a clean save; a note says how to resume.
    """
    if resume is None:
        _require_one_model(config)
    return run_in_folder(_train, "train", config, sources, resume)


def _require_one_model(config: RunConfig) -> None:
    """One model where folds or an ensemble are asked for would be an answer to another question."""
    asked = {
        "cross_validation.folds": (
            config.cross_validation.folds is not None,
            "cross_validation.cross_validate.run_cross_validation",
        ),
        "ensemble.num_models": (config.ensemble.num_models > 1, "ensembles.train_ensemble"),
    }
    for path, (is_asked, function) in asked.items():
        if is_asked:
            raise ValueError(
                f"{path} asks for several models, and this trains one: call bert_playground.training.{function}(config, sources) "
                f"instead, or leave {path} out"
            )


def _train(run: RunDir, config: RunConfig, checkpoint: Path | None) -> RunResult:
    start_run(run, config)
    return _fit_alone(prepare(config), config, run, checkpoint)


def run_training_on(
    frame: pl.DataFrame,
    val: pl.DataFrame | None,
    config: RunConfig,
    sources: Mapping[str, str] | None = None,
) -> RunResult:
    """`run_training` for rows that a program holds; the tables that the configuration names are not read.

    Args:
        frame: the training rows with their target, all cells as text.
        val: the validation rows; None: split off as the configuration says.
        config: what was asked for.
        sources: for each dotted path of the configuration where its value came from.

    Raises:
        ValueError: rows, configuration or checkpoint do not fit; says what to do.
    """
    _require_one_model(config)

    def train(run: RunDir, config: RunConfig, checkpoint: Path | None) -> RunResult:
        start_run(run, config)
        prepared = prepare_frames(frame, val, config.data, config.split_seed)
        return _fit_alone(prepared, config, run, checkpoint)

    return run_in_folder(train, "train", config, sources)


def _fit_alone(
    prepared: Prepared, config: RunConfig, run: RunDir, checkpoint: Path | None
) -> RunResult:
    """Fit a model that is no fold, member or trial of something larger."""
    log_settings_of_several(config, read_sources(run))
    # A run of a version that pretrained nothing unasked goes on as it began.
    if checkpoint is None or config.model.pretrain == "on" or run.pretrained.summary.is_file():
        config = pretrain_first(prepared, config, run)
    return fit(prepared, config, run, checkpoint)


def fit(
    prepared: Prepared,
    config: RunConfig,
    run: RunDir,
    checkpoint: Path | None = None,
    *,
    pipeline: TextPipeline | None = None,
    speaks: bool = True,
    callbacks: Sequence[Callback] = (),
) -> RunResult:
    """Fit one model on prepared tables and write its run folder.

    Args:
        prepared: from `prepare`; the same for any number of models.
        config: what was asked for: encoder, head, training.
        run: the folder; `start_run` has been there.
        checkpoint: to go on from, exactly where it stopped; None: from the beginning.
        pipeline: that was fitted on these training rows before; None: that of the checkpoint, or it is fitted now.
        speaks: whether it says what several models have in common; of an ensemble the first one does.
        callbacks: told after those of the configuration.
    """
    speaks = speaks and _speaks(run)
    pretrained_dir = fetch_folder(config.model.pretrained) if config.model.pretrained else None
    pipeline = pipeline or _load_or_fit(checkpoint, prepared, config)
    for note in (*prepared.notes, *pipeline.statements):
        logger.info(note)
    config = settle_batch_size(config, prepared, pipeline, run)

    if checkpoint is None and pretrained_dir is not None and speaks:
        warn_of_checkpoint_drift(pretrained_dir, prepared.train)
    prepared = _read_own_val(prepared, pipeline, config)
    frame = prepared.train
    track_tables(config, frame.columns, pipeline.targets, frame.height, prepared.val.height)
    train_data, val_data = make_loaders(pipeline, prepared, config)
    assert train_data.labels is not None
    model = create_task_model(config, pipeline, train_data.labels, _read_pooling(checkpoint))
    begin_words(model, config, pipeline, train_data, is_resumed=checkpoint is not None)
    if speaks and not pipeline.number_tokens:  # else transformers refuses the folder by itself
        _say_what_transformers_lacks(model)
    if config.data.sample_fraction < 1:
        train_data = train_data.sample(config.data.sample_fraction, config.training.seed)
    trainer = make_trainer(
        model,
        config,
        pipeline=pipeline,
        run=run,
        num_rows=train_data.num_rows,
        judged_by=prepared.schema.metric,
        is_former=checkpoint is not None and is_former_run(run),
    )
    trainer.callbacks += callbacks
    trainer.row_names.ids = _read_ids(prepared, train_data.num_rows)
    if checkpoint is not None:
        trainer.resume(checkpoint)
        logger.info(f"resumed {checkpoint} after step {trainer.state.step}")
    if speaks:
        _name_ignored(config, run, pipeline, train_data, trainer.loop)
    state = trainer.train(train_data, val_data)
    summary: dict[str, Any] = {}
    if joined_group().is_first:  # the other ranks write nothing
        is_pretrained = pretrained_dir is not None
        summary = summarise(
            run, trainer, pipeline, train_data, val_data, is_pretrained=is_pretrained
        )
        _finish(summary, run, pipeline, val_data, model, config)
    if config.training.refit:
        _refit(prepared, config, run, state, summary)
    if summary:
        conclude_run(run, summary, prepared, has_report=config.training.report)
    return RunResult(run, state.best_metrics, run.kept, summary)


def _finish(
    summary: dict[str, Any],
    run: RunDir,
    pipeline: TextPipeline,
    val_data: MLXLoader,
    model: BertWithHead,
    config: RunConfig,
) -> None:
    if config.head.adaptive_threshold:
        summary["thresholds"] = tune_thresholds(run, pipeline.classes, val_data, model)
    if summary["hint"]:
        logger.info(summary["hint"])


def _refit(
    prepared: Prepared, config: RunConfig, run: RunDir, state: TrainState, summary: dict[str, Any]
) -> None:
    is_whole = state.best_step == state.best_epoch * state.steps_per_epoch
    refit(prepared, config, run, state.best_epoch, None if is_whole else state.best_step)
    if summary:
        summary["files"]["refit"] = str(run.refit)


def _load_or_fit(checkpoint: Path | None, prepared: Prepared, config: RunConfig) -> TextPipeline:
    return fit_pipeline(prepared, config) if checkpoint is None else TextPipeline.load(checkpoint)


@overload
def create_trainer(
    model: BertWithHead, config: Configuration | None = ..., *, num_rows: int | None = ...
) -> ModelTrainer: ...


@overload
def create_trainer(
    model: Ensemble, config: Configuration | None = ..., *, num_rows: int | None = ...
) -> EnsembleTrainer: ...


def create_trainer(
    model: BertWithHead | Ensemble,
    config: Configuration | None = None,
    *,
    num_rows: int | None = None,
) -> ModelTrainer | EnsembleTrainer:
    """A trainer for a model of one's own: `create_trainer(model, config).train(train_data, val_data)`.

    It writes metrics, curves and checkpoints into a new run folder, as `bert train` does.

    Args:
        model: with its head; the members of an ensemble are trained one after another.
        config: a RunConfig, the name of a preset, a path, or a dict with the keys of a file; None: all defaults.
        num_rows: of a loader, from which epochs are chosen where the configuration leaves them open.

    Raises:
        TypeError: model or configuration are something else.
        ValueError: the configuration has mistakes; all of them are listed.
        FileNotFoundError: there is no such file.
    """
    if not isinstance(model, BertWithHead | Ensemble):
        raise TypeError(
            f"model is {describe_type(model)}, expected a model with its head; make one with "
            "create_bert_with_head(model_type, head_type, num_labels), or BertWithHead(encoder, head)"
        )
    if not isinstance(config, RunConfig | Mapping | str | Path | None):
        raise TypeError(
            f"config is {describe_type(config)}, expected a RunConfig, the name of a preset, the path of a YAML or JSON "
            'file, or a dict such as {"training": {"epochs": 3}}'
        )
    if isinstance(config, RunConfig):
        sources = dict.fromkeys(given_paths(config), "given")
    else:
        config, sources = load_config(config)
    if isinstance(model, Ensemble):
        return EnsembleTrainer(model, config, sources, num_rows)
    return ModelTrainer(model, config, sources, num_rows)


def given_paths(config: RunConfig) -> list[str]:
    """The dotted paths that somebody has set in a configuration made in Python."""
    return [
        f"{section}.{name}"
        for section in config.model_fields_set
        for name in getattr(config, section).model_fields_set
    ]


def _read_ids(prepared: Prepared, num_rows: int) -> tuple[str, Sequence[Any]] | None:
    """The id column and its values; None: there is none, or batches have other rows than the table in memory."""
    name = prepared.schema.id_column
    if name not in prepared.train.columns or prepared.train.height != num_rows:
        return None
    return name, prepared.train[name].to_list()


def _read_pooling(checkpoint: Path | None) -> dict[str, Any]:
    """How the head of a run to resume pools: runs of earlier versions chose without a look at the old head."""
    if checkpoint is None:
        return {}
    head = read_json(checkpoint / CONFIG).get("head") or {}
    return {key: head[key] for key in ("pooling", "transform") if key in head}


def _speaks(run: RunDir) -> bool:
    """Whether a run says what all members of an ensemble have in common: once, by the first."""
    return run.path.parent.name != MEMBERS or run.is_first_member


def _read_own_val(prepared: Prepared, pipeline: TextPipeline, config: RunConfig) -> Prepared:
    """A validation table of its own may be written otherwise than the training table."""
    if config.data.val is None:
        return prepared
    drift = pipeline.watch_drift()
    prepared = replace(prepared, val=drift.read(prepared.val))
    drift.conclude(str(config.data.val))
    return prepared


def _say_what_transformers_lacks(model: BertWithHead) -> None:
    if reasons := beyond_transformers(model):
        logger.info(
            f"transformers will read the encoder of these checkpoints alone, as its classifier lacks {'; '.join(reasons)}: "
            "let `bert predict`, or Predictor, answer from them"
        )


def _name_ignored(
    config: RunConfig,
    run: RunDir,
    pipeline: TextPipeline,
    train_data: MLXLoader | StreamingLoader,
    loop: Loop,
) -> None:
    """What was asked for in vain."""
    sources = read_sources(run)
    facts = RunFacts(
        pipeline.task,
        train_data.num_rows,
        len(train_data),
        loop.epochs,
        is_compiled=loop.use_compilation,
        max_length=pipeline.max_length,
        is_member=run.path.parent.name == MEMBERS,
        is_pretrained_first=is_pretrained_first(config, sources),
    )
    log_ignored_settings(config, sources, facts)
