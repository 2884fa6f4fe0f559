"""run_training: prepare + fit, from tables to checkpoints; create_trainer: for models and loaders of one's own."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import mlx.core as mx
import numpy as np
from loguru import logger

from bert_playground.config.load import TYPED, load_config
from bert_playground.config.schema import RunConfig
from bert_playground.data.augmentation.augmentation import Augmentation
from bert_playground.data.loaders import MLXLoader, StreamingLoader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared, prepare
from bert_playground.environment import describe_environment
from bert_playground.files import write_text
from bert_playground.logs import log_to_file
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.ensemble import Ensemble
from bert_playground.models.factory import create_from_config
from bert_playground.models.head_match import Answers
from bert_playground.models.hub_files import CONFIG, fetch_folder, read_json
from bert_playground.models.sizes import fit_to_checkpoint
from bert_playground.runs import RunDir
from bert_playground.tasks import TASKS
from bert_playground.tracking import require_mlflow
from bert_playground.training.build import make_trainer
from bert_playground.training.class_weights import weights_from_labels
from bert_playground.training.core import Trainer
from bert_playground.training.core.resume import find_resumable
from bert_playground.training.ensemble_trainer import EnsembleTrainer
from bert_playground.training.evaluation.thresholds import tune_thresholds
from bert_playground.training.summary import summarise

# What a resumed run may change without becoming another run.
CHANGEABLE = (
    "training.epochs",
    "training.max_steps",
    "training.logging_steps",
    "training.output_dir",
    "checkpoint.",
)


@dataclass(frozen=True)
class RunResult:
    """What a run gives.

    Attributes:
        run_dir: where everything lies.
        metrics: of the best evaluation; names start with val_.
        best_checkpoint: a folder for `bert predict`, or None when none was kept.
        summary: what summary.json holds.
    """

    run_dir: RunDir
    metrics: dict[str, float]
    best_checkpoint: Path | None
    summary: dict[str, Any]


def run_training(
    config: RunConfig, sources: Mapping[str, str] | None = None, resume: Path | None = None
) -> RunResult:
    """Train as the configuration says, from tables to checkpoints.

    Args:
        config: what was asked for.
        sources: for each dotted path of the configuration where its value came from.
        resume: a run folder, or one of its checkpoints: go on from there with the configuration stored in the run.

    Raises:
        ValueError: tables, configuration or checkpoint do not fit; says what to do.
        FileNotFoundError: a file is not there.
        KeyboardInterrupt: Ctrl-C, after a clean save; a note says how to resume.
    """
    return run_in_folder(_train, "train", config, sources, resume)


def run_in_folder(
    body: Callable[[RunDir, RunConfig, Path | None], RunResult],
    command: str,
    config: RunConfig,
    sources: Mapping[str, str] | None = None,
    resume: Path | None = None,
) -> RunResult:
    """Call `body(run, config, checkpoint to resume)` with a new run folder, or with that of the run to resume.

    Args:
        body: what happens in the run.
        command: of `bert`, for messages; a run is resumed by the command that began it.
        config: as for `run_training`.
        sources: as for `run_training`.
        resume: as for `run_training`.
    """
    if resume is None:
        config, sources = fit_to_checkpoint(config, sources or {})
        run, checkpoint = RunDir.create(config.training.output_dir), None
        values = config.model_dump(mode="json")
        write_json(run.config, {"command": command, "values": values, "sources": sources})
    else:
        checkpoint = find_resumable(resume)
        run = RunDir.of_checkpoint(checkpoint)
        config = read_run_config(run, config, sources or {}, command)
    try:
        with log_to_file(run.train_log), _logged_errors():
            return body(run, config, checkpoint)
    except KeyboardInterrupt as interrupt:
        if run.resumable():
            interrupt.add_note(f"saved; go on with: bert {command} --resume {run.path}")
        raise
    finally:
        run.discard_unused()


@contextmanager
def _logged_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logger.debug(f"{type(error).__name__}: {error}")
        raise


def _train(run: RunDir, config: RunConfig, checkpoint: Path | None) -> RunResult:
    start_run(run, config)
    return fit(prepare(config), config, run, checkpoint)


def fit(
    prepared: Prepared, config: RunConfig, run: RunDir, checkpoint: Path | None = None
) -> RunResult:
    """Fit one model on prepared tables and write its run folder.

    Args:
        prepared: from `prepare`; the same for any number of models.
        config: what was asked for: encoder, head, training.
        run: the folder; `start_run` has been there.
        checkpoint: to go on from, exactly where it stopped; None: from the beginning.
    """
    pretrained_dir = fetch_folder(config.model.pretrained) if config.model.pretrained else None
    pipeline = _fit_or_load(prepared, config, pretrained_dir, checkpoint)
    for note in (*prepared.notes, *pipeline.statements):
        logger.info(note)

    train_data, val_data = _make_loaders(pipeline, prepared, config)
    assert train_data.labels is not None
    model = create_from_config(
        config,
        TASKS[pipeline.task],
        num_labels=max(pipeline.num_labels, len(pipeline.classes)),
        vocab_size=pipeline.vocab_size,
        pad_token_id=pipeline.pad_token_id,
        # Rows are at most as long as they were when the checkpoint was pretrained on this text.
        max_length=min(config.data.max_length, pipeline.max_length),
        head_options={
            **weights_from_labels(config.head, pipeline.task, pipeline.classes, train_data.labels),
            "num_numbers": len(pipeline.numbers),
            **_read_pooling(checkpoint),
        },
        added_tokens=pipeline.tokenizer.added_tokens,
        answers=Answers.of(pipeline.target, pipeline.labels.to_dict()),
    )
    if config.data.sample_fraction < 1:
        train_data = train_data.sample(config.data.sample_fraction, config.training.seed)
    trainer = make_trainer(
        model,
        config,
        pipeline=pipeline,
        run=run,
        num_rows=train_data.num_rows,
        judged_by=pipeline.schema.metric,
    )
    if checkpoint is not None:
        trainer.resume(checkpoint)
        logger.info(f"resumed {checkpoint} after step {trainer.state.step}")
    state = trainer.train(train_data, val_data)

    is_pretrained = pretrained_dir is not None
    summary = summarise(run, trainer, pipeline, train_data, val_data, is_pretrained=is_pretrained)
    if config.head.adaptive_threshold:
        summary["thresholds"] = tune_thresholds(run, pipeline, val_data, model.encoder.dtype)
    if summary["hint"]:
        logger.info(summary["hint"])
    write_json(run.summary, summary)
    best = run.best if run.best.is_dir() else run.final
    return RunResult(run, state.best_metrics, best if best.is_dir() else None, summary)


def start_run(run: RunDir, config: RunConfig) -> None:
    """What every run does first: seeds, and the record of what it is computed with."""
    if config.tracking.mlflow:
        require_mlflow()
    mx.random.seed(config.training.seed)
    np.random.seed(config.training.seed)
    write_json(run.environment, {"seed": config.training.seed, **describe_environment()})


@overload
def create_trainer(
    model: BertWithHead, config: RunConfig | str | Path | None = ..., *, num_rows: int | None = ...
) -> Trainer: ...


@overload
def create_trainer(
    model: Ensemble, config: RunConfig | str | Path | None = ..., *, num_rows: int | None = ...
) -> EnsembleTrainer: ...


def create_trainer(
    model: BertWithHead | Ensemble,
    config: RunConfig | str | Path | None = None,
    *,
    num_rows: int | None = None,
) -> Trainer | EnsembleTrainer:
    """A trainer for a model and loaders of one's own: `create_trainer(model, config).train(train_data, val_data)`.

    It writes metrics, curves and checkpoints into a new run folder, as `bert train` does.

    Args:
        model: with its head; the members of an ensemble are trained one after another.
        config: a RunConfig, the name of a preset, or a path; None: all defaults.
        num_rows: of the training data, from which epochs are chosen where the configuration leaves them open.
    """
    if not isinstance(config, RunConfig):
        config, _ = load_config(config)
    run = RunDir.create(config.training.output_dir)
    write_json(run.config, {"values": config.model_dump(mode="json"), "sources": {}})
    if isinstance(model, Ensemble):
        return EnsembleTrainer(model, config, run, num_rows)
    return make_trainer(model, config, pipeline=None, run=run, num_rows=num_rows or 1000)


def read_run_config(
    run: RunDir, asked: RunConfig, sources: Mapping[str, str], command: str = "train"
) -> RunConfig:
    """The configuration stored in a run folder, with the few values that a resumed run may change.

    Raises:
        ValueError: another value was asked for by a flag or --set, or another command began the run.
    """
    document = json.loads(run.config.read_text(encoding="utf-8"))
    began = document.get("command", "train")
    if began != command:
        raise ValueError(
            f"{run.path} is a run of `bert {began}`; go on with it by: bert {began} --resume {run.path}"
        )
    stored = RunConfig.model_validate(document["values"])
    flags = [path for path, source in sources.items() if source in TYPED]
    changed = {
        path: _value_at(asked, path)
        for path in flags
        if _value_at(asked, path) != _value_at(stored, path)
    }
    refused = [path for path in changed if not path.startswith(CHANGEABLE)]
    if refused:
        listed = ", ".join(
            f"{path} ({_value_at(stored, path)}, asked {changed[path]})" for path in refused
        )
        raise ValueError(
            f"a resumed run keeps its configuration, but these differ: {listed}; start a new run for them"
        )
    for path, value in changed.items():
        section, key = path.split(".")
        stored = stored.model_copy(
            update={section: getattr(stored, section).model_copy(update={key: value})}
        )
    return stored


def _fit_or_load(
    prepared: Prepared, config: RunConfig, pretrained_dir: Path | None, checkpoint: Path | None
) -> TextPipeline:
    if checkpoint is not None:
        return TextPipeline.load(checkpoint)
    return TextPipeline.fit(
        prepared.train,
        prepared.schema,
        prepared.text,
        pretrained_dir=pretrained_dir,
        vocab_size=config.model.vocab_size,
        augmentation=Augmentation(**config.augmentation.model_dump()),
    )


def _read_pooling(checkpoint: Path | None) -> dict[str, Any]:
    """How the head of a run to resume pools: runs of earlier versions chose without a look at the old head."""
    if checkpoint is None:
        return {}
    head = read_json(checkpoint / CONFIG).get("head") or {}
    return {key: head[key] for key in ("pooling", "transform") if key in head}


def _make_loaders(
    pipeline: TextPipeline, prepared: Prepared, config: RunConfig
) -> tuple[MLXLoader | StreamingLoader, MLXLoader]:
    data, training = config.data, config.training
    threads: dict[str, Any] = {"prefetch_size": data.prefetch_size}
    if data.num_workers is not None:
        threads["num_workers"] = data.num_workers
    cached: dict[str, Any] = {"cache_dir": data.cache_dir if data.use_pretokenized else None}
    order: dict[str, Any] = {
        "batch_size": training.batch_size,
        "shuffle": True,
        "seed": training.seed,
    }
    val_data = pipeline.make_loader(
        prepared.val, batch_size=training.eval_batch_size, split="val", **threads, **cached
    )
    if prepared.stream is not None:
        if data.use_pretokenized:
            logger.info(
                "data.use_pretokenized: only validation rows are cached; streamed rows are tokenised in every epoch"
            )
        return pipeline.make_streaming_loader(
            prepared.stream, augmented_from=prepared.train, **order, **threads
        ), val_data
    return pipeline.make_loader(
        prepared.train, split="train", augmented=True, **order, **threads, **cached
    ), val_data


def _value_at(config: RunConfig, path: str) -> Any:
    section, key = path.split(".")
    return getattr(getattr(config, section), key)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write one of the JSON files of a run."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
