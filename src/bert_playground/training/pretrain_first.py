"""pretrain_first: the encoder learns to find masked words of the rows before it learns the task (`model.pretrain`)."""

import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.config.schema import RunConfig, TrainingSection
from bert_playground.data.columns.kinds import infer_all
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared
from bert_playground.data.templates.row_text import RowText
from bert_playground.data.tokens.token_table import TokenizedTable, concat_tables
from bert_playground.distributed.group import joined_group
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.runs import PRETRAINED, RunDir
from bert_playground.training.build import fit_pipeline
from bert_playground.training.pretraining import pretrain_encoder
from bert_playground.training.recipe import choose_pretraining_recipe
from bert_playground.training.start import start_run, write_run_config

MOST_TOKENS = 10_000_000  # that are read, where the user leaves epochs open
LEAST_OF_TEXT = 3000  # rows in all, from which the words of free text are learned
MOST_WORDS = 50  # of free text in a row, on average; long ones took much time and gained nothing
MOST_LABELED = 250  # rows of a table without, of which more teach the encoder by themselves
LEAST_RATIO = 2  # rows of the test table for each of these


def pretrain_first(prepared: Prepared, config: RunConfig, run: RunDir) -> RunConfig:
    """The configuration to train by: where pretraining was asked for, it names the checkpoint to start from.

    It is pretrained once, in the folder `pretrained` of the run; where that was stopped, it goes on from there. All
    members of an ensemble start from the same. Text, vocabulary and bins are those that training would fit without;
    the encoder then reads the training rows and those of the test table beside them, never a target or a dropped
    column. The validation rows are read only where test rows are: they then stand to the model as these do.

    Args:
        prepared: from `prepare`.
        config: of the run.
        run: its folder, or that of an ensemble.

    Raises:
        ValueError: members of an ensemble would need other encoders, or the rows have no words.
    """
    asked = config.model.pretrain
    if asked == "off" or config.model.pretrained is not None:
        return config
    strategy = config.ensemble.diversity_strategy
    if config.ensemble.num_models > 1 and strategy == "architectures":
        if asked == "auto":
            return config
        raise ValueError(
            "model.pretrain is on, but members of ensemble.diversity_strategy architectures cannot start from one "
            "pretrained encoder; take different_seeds, data_subsamples or heads, or leave model.pretrain out"
        )
    if asked == "auto":
        pays, reason = judge_gain(prepared, config.training)
        if not pays:
            logger.debug(f"model.pretrain auto: off, as {reason}")
            return config
        logger.info(f"model.pretrain auto: on, as {reason}; --pretrain off leaves it out")
    folder = run.pretrained
    if not folder.summary.is_file():
        _pretrain(prepared, config, folder)
    else:
        logger.info(f"pretrained already: {folder.best}")
    for seed in (mx.random.seed, np.random.seed):  # whether it was pretrained now or before
        seed(config.training.seed)
    model = config.model.model_copy(update={"pretrained": str(folder.best)})
    return config.model_copy(update={"model": model})


def is_pretrained_first(config: RunConfig, sources: Mapping[str, str]) -> bool:
    """Whether the checkpoint that training starts from is one of `pretrain_first`, and not one that somebody named."""
    start = config.model.pretrained
    is_named = sources.get("model.pretrained", "default") != "default"
    if start is None or is_named or config.model.pretrain == "off":
        return False
    return config.model.pretrain == "on" or PRETRAINED in Path(start).parts[-3:-2]


def judge_gain(prepared: Prepared, asked: TrainingSection) -> tuple[bool, str]:
    """Whether pretraining pays, and why; see docs/guides/pretrain.md for the figures behind it.

    Args:
        prepared: the rows.
        asked: a run that is to end early has no time for it.
    """
    for name in ("max_steps", "max_time"):
        if getattr(asked, name) is not None:
            return False, f"training.{name} is to end the run"
    if prepared.stream is not None:
        return False, "the table is streamed"
    if joined_group().size > 1:
        return False, "several processes train together"
    test = prepared.text.test_rows
    labeled = prepared.train.height + prepared.val.height
    without = 0 if test is None else test.height
    if words := _count_words(prepared):
        pays = labeled + without >= LEAST_OF_TEXT and words <= MOST_WORDS
        said = f"there is free text of {words:.0f} words and {count_of(labeled + without, 'row')} in all"
        return pays, f"{said}; it pays from {LEAST_OF_TEXT} rows on, with up to {MOST_WORDS} words"
    pays = labeled <= MOST_LABELED and without >= LEAST_RATIO * labeled
    said = f"{count_of(labeled, 'row')} have labels and {without} of the test table have none"
    return (
        pays,
        f"{said}; without free text it pays for up to {MOST_LABELED} and {LEAST_RATIO} times as many",
    )


def _count_words(prepared: Prepared) -> float:
    """Words of free text in a training row, on average; 0.0 where no column holds any."""
    text, schema = prepared.text, prepared.schema
    skipped = {*schema.left_out, *text.drop_columns, schema.id_column}
    names = [name for name in prepared.train.columns if name not in skipped]
    given = {**text.kinds, **dict.fromkeys(text.text_columns, "text")}
    found = infer_all(prepared.train, [name for name in names if name not in given])
    kinds = given | {name: kind.name for name, kind in found.items()}
    counts = prepared.train.select(
        pl.col(name).str.count_matches(r"\S+").sum() for name in names if kinds[name] == "text"
    )
    return sum(map(float, counts.row(0))) / max(1, prepared.train.height) if counts.width else 0.0


def _pretrain(prepared: Prepared, config: RunConfig, run: RunDir) -> None:
    config = _choose_config(config)
    checkpoint = next(reversed(run.resumable()), None)
    if checkpoint is None:
        shutil.rmtree(
            run.path, ignore_errors=True
        )  # of one that was stopped before it had kept anything
        run.path.mkdir(parents=True)
        write_run_config(run, config, {}, "pretrain")
    pipeline = fit_pipeline(prepared, config)
    text = _without_labels(pipeline)
    table, said = _encode(prepared, text)
    if config.training.epochs is None:
        config = config.with_changes({"training": {"epochs": _choose_epochs(config, table)}})
    logger.info(f"pretraining first, in {run.path}: masked words of {said}, without their target")
    start_run(run, config)
    pretrain_encoder(text, table, config, run, checkpoint)


def _choose_config(config: RunConfig) -> RunConfig:
    """For pretraining: what belongs to the task is left to the recipe of pretraining."""
    checkpoint: dict[str, object] = {
        "enable_checkpointing": True,
        "save_best_model": True,
        "save_best_only": False,
    }
    checkpoint |= {"best_model_metric": None, "best_model_mode": None, "keep_last": 1}
    asked = config.training.batch_size
    batch_size = (TrainingSection() if asked == "auto" else config.training).rows_per_batch
    changes: dict[str, dict[str, object]] = {
        "training": {
            "report": False,
            "epochs": config.pretraining.epochs,
            "max_steps": None,
            "metric": None,
            "early_stopping_patience": None,
            "callbacks": (),
            "batch_size": batch_size,
        },
        "optimizer": {"learning_rate": None},
        "scheduler": {"warmup_steps": None},
        "checkpoint": checkpoint,
        "tracking": {"mlflow": False},
        "lora": {"enabled": False},
        "model": {"pretrain": "off"},
    }
    return config.with_changes(changes)


def _choose_epochs(config: RunConfig, table: TokenizedTable) -> int:
    """As many as for `bert pretrain`, but for long rows, on which so many steps would take hours."""
    training, share = config.training, 1 - config.pretraining.val_fraction
    recipe = choose_pretraining_recipe(
        is_pretrained=False,
        num_rows=round(share * len(table.lengths)),
        batch_size=training.rows_per_batch * training.gradient_accumulation_steps,
    )
    return max(1, min(recipe.epochs, int(MOST_TOKENS / (share * max(1, table.lengths.sum())))))


def _without_labels(pipeline: TextPipeline) -> RowText:
    """How its rows become tokens."""
    read = {field.name: getattr(pipeline, field.name) for field in fields(RowText)}
    statements = tuple(said for said in pipeline.statements if not said.startswith("labels: "))
    return RowText(**{**read, "statements": statements})


def _encode(prepared: Prepared, text: RowText) -> tuple[TokenizedTable, str]:
    """The rows to learn from as tokens, and what they are."""
    test = prepared.text.test_rows
    tables = [_tokenize(text.of_training_rows, prepared.train)]
    said = f"{count_of(prepared.train.height, 'training row')}"
    if test is not None and set(text.columns) <= set(test.columns):
        unseen = (
            [prepared.val] if prepared.val.height else []
        )  # of folds, all rows are training rows
        tables += [_tokenize(text, frame) for frame in (*unseen, test)]
        said += f", {prepared.val.height} validation rows and {count_of(test.height, 'test row')}"
    return concat_tables(tables), said


def _tokenize(text: RowText, frame: pl.DataFrame) -> TokenizedTable:
    return text.encode(frame)._replace(numbers=text.encode_numbers(frame))
