"""What the comparisons of accuracy share: rows put aside, training by the defaults on the rest, means with errors."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.config import load_config
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.schema.roles import read_test_columns, recognise
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.training import run_training
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.metrics import make_scorer

MAX_CLASSES = 50  # more different labels are numbers, and rows are put aside as chance has it
LOWER_IS_BETTER = ("loss", "log_loss", "rmse", "mae", "rmsle", "ece")
Scores = dict[str, float]


def choose_rows(
    frame: pl.DataFrame, targets: tuple[str, ...], number: int, seed: int
) -> np.ndarray:
    """A mask of about `number` rows with all classes in proportion, bool [R]."""
    random, chosen = np.random.default_rng(seed), np.zeros(frame.height, bool)
    labels = (
        frame.select(pl.concat_str(targets, separator=",", ignore_nulls=True))
        .to_series()
        .to_numpy()
    )
    values = np.unique(labels)
    if len(values) > MAX_CLASSES:
        labels, values = np.zeros(frame.height), np.zeros(1)
    for value in values:
        rows = random.permutation(np.flatnonzero(labels == value))
        chosen[rows[: round(number / frame.height * len(rows))]] = True
    return chosen


def write_table(
    folder: Path, rest: pl.DataFrame, source: Path, unlabelled: pl.DataFrame | None = None
) -> Path:
    """The rows as train.csv, and beside it a test table of the columns that the one of `source` has, the ones to learn from.

    Its rows are the unlabelled ones, or a single one of those to learn from where none are given.
    """
    rest.write_csv(path := folder / "train.csv")
    test = read_test_columns(source, rest.columns)
    if test is not None:
        rows = rest.head(1) if unlabelled is None else unlabelled
        rows.select(name for name in rest.columns if name in test).write_csv(folder / "test.csv")
    return path


def train(
    table: Path, output: Path, seed: int, more: Mapping[str, object], preset: str | None = None
) -> Path:
    """`bert train` with its defaults, or a preset, but for `more`, dotted settings; the folder that answers for the run."""
    flags: dict[str, object] = {"data.train": table, "training.seed": seed}
    flags |= {"training.output_dir": output, "checkpoint.save_best_only": True}
    config, _ = load_config(preset, {}, flags | dict(more))
    if config.ensemble.num_models > 1:
        return train_ensemble(config).run_dir.path
    kept = run_training(config).run_dir.kept
    assert kept is not None
    return kept


def judge(pipeline: TextPipeline, aside: pl.DataFrame, scores: np.ndarray) -> Scores:
    """The usual metrics of answers to labelled rows, and that of a known data set."""
    known = recognise(aside.columns)
    is_known = known is not None and known.target == pipeline.target
    also = [known.metric] if is_known and known.metric else []
    report = make_scorer(pipeline.task, *also, decode=pipeline.in_units)
    return report(pipeline.encode_labels(aside), scores)


def score(checkpoint: Path, aside: pl.DataFrame, num_variants: int = 1) -> Scores:
    """What a checkpoint scores on labelled rows."""
    predictor = load_predictor(checkpoint)
    answers = predictor.score(aside, num_variants=num_variants).scores
    return judge(predictor.pipeline, aside, answers)


def make_parser(doc: str, output: str) -> argparse.ArgumentParser:
    """The arguments of what is measured on tables, seed by seed: see `measure_tables`."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--aside", type=float, default=0.2, help="share of rows put aside")
    parser.add_argument("--group", help="column whose rows are put aside together")
    parser.add_argument("--output", type=Path, default=Path(output))
    return parser


def measure_tables(
    asked: argparse.Namespace,
    measure: Callable[[Path, int, argparse.Namespace], dict[str, Scores]],
    report: Callable[[dict[str, list[Scores]]], None],
) -> None:
    """Measure all sides on each table, seed by seed: a line for each seed, and what is reported of each table."""
    for path in asked.train:
        found: dict[str, list[Scores]] = {}
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            sides = measure(path, seed, asked)
            for name, scores in sides.items():
                found.setdefault(name, []).append(scores)
            print(json.dumps({"table": str(path), "seed": seed, **sides}), flush=True)
        print(path)
        report(found)


def print_means(found: Mapping[str, list[Scores]]) -> None:
    """Mean ± standard error of every side, and how much better it is than the first one, seed by seed."""
    first = next(iter(found.values()))
    for name, runs in found.items():
        print(name)
        for metric in runs[0]:
            values = np.array([run[metric] for run in runs])
            line = f"    {metric:<16} {values.mean():.4f} ± {error_of_mean(values):.4f}"
            if runs is not first and metric in first[0]:
                base = np.array([run[metric] for run in first])
                gain = base - values if metric in LOWER_IS_BETTER else values - base
                line += f"   better by {gain.mean():+.4f} ± {error_of_mean(gain):.4f}"
            print(line, flush=True)


def error_of_mean(values: np.ndarray) -> float:
    """Standard error of a mean over seeds; NaN of one."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")
