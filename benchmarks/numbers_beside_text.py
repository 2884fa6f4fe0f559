"""What numbers beside the text (or any other setting) change: rows put aside, several seeds, paired differences.

    uv run python benchmarks/numbers_beside_text.py --train train.csv [--seeds 3] [--rows 8000] [--model FOLDER]
    uv run python benchmarks/numbers_beside_text.py --train train.csv --both data.column_order=table --with data.column_order=auto

Per seed a quarter of the rows is put aside, stratified by class where there are few labels. Both sides are trained by
`bert train` with its defaults and the same seed on the rest (or on so many rows of it), one of them with the settings of
`--with`; their best checkpoints answer the rows put aside, once. `--first-seed 100` gives other parts, to choose settings on.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from bert_playground.config import load_config
from bert_playground.data.core.columns import infer_roles, recognise
from bert_playground.data.core.table import read_table
from bert_playground.inference import Predictor
from bert_playground.logs import set_up_logs
from bert_playground.training import run_training
from bert_playground.training.metrics import make_report

Array = np.ndarray
MAX_CLASSES = 20


def choose_rows(labels: Array, number: int, seed: int) -> Array:
    """A mask of about `number` rows, few different labels in proportion, bool [R]."""
    random, chosen = np.random.default_rng(seed), np.zeros(len(labels), bool)
    values = np.unique(labels)
    groups = [labels == value for value in values] if len(values) <= MAX_CLASSES else [None]
    for group in groups:
        rows = np.arange(len(labels)) if group is None else np.flatnonzero(group)
        rows = random.permutation(rows)
        chosen[rows[: round(number / len(labels) * len(rows))]] = True
    return chosen


def read_settings(settings: Sequence[str]) -> dict[str, object]:
    """["data.numeric_features=auto"] as flags."""
    return dict(setting.split("=", 1) for setting in settings)


def train(table: Path, asked: argparse.Namespace, seed: int, more: dict[str, object]) -> Path:
    """`bert train` with its defaults and some settings; the best checkpoint."""
    flags: dict[str, object] = {"data.train": table, "training.seed": seed}
    flags |= {"training.output_dir": asked.output, "checkpoint.save_best_only": True}
    flags |= {"model.pretrained": asked.model} if asked.model else {}
    config, _ = load_config(None, {}, flags | read_settings(asked.both) | more)
    best = run_training(config).best_checkpoint
    assert best is not None
    return best


def score(checkpoint: Path, aside: pl.DataFrame, metric: str | None) -> dict[str, float]:
    """The usual metrics, and that of a known data set, on labelled rows."""
    predictor = Predictor.load(checkpoint)
    answer, pipeline = predictor.score(aside), predictor.pipeline
    assert answer.labels is not None
    also = [metric] if metric else []
    report = make_report(
        pipeline.task, *also, decode=pipeline.in_units, thresholds=predictor.thresholds
    )
    return {**report(answer.labels, answer.scores), "loss": answer.loss or 0.0}


def main() -> None:
    """Measure, and print one line per run and a table of means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--with", dest="more", nargs="+", default=["data.numeric_features=auto"])
    parser.add_argument("--both", nargs="*", default=[], help="settings of both sides")
    parser.add_argument("--rows", type=int, help="rows to train on; default: all not put aside")
    parser.add_argument("--aside", type=float, default=0.25, help="share of rows put aside")
    parser.add_argument("--model", help="a checkpoint to start from; default: random weights")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("output/numbers_beside_text"))
    asked = parser.parse_args()
    set_up_logs("WARNING")
    frame = read_table(asked.train)
    roles, known = infer_roles(frame), recognise(frame.columns)
    labels = frame.select(pl.concat_str(roles.targets, separator=",")).to_series().to_numpy()
    sides = {"as it is": {}, " ".join(asked.more): read_settings(asked.more)}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        is_aside = choose_rows(labels, round(asked.aside * len(labels)), seed)
        rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
        if asked.rows:
            rest = rest.filter(choose_rows(labels[~is_aside], asked.rows, seed))
        with tempfile.TemporaryDirectory() as folder:
            rest.write_csv(table := Path(folder) / "rows.csv")
            for name, more in sides.items():
                start = perf_counter()
                best = train(table, asked, seed, more)
                seconds = perf_counter() - start
                scores = score(best, aside, known.metric if known else None)
                found[name].append({**scores, "seconds": seconds})
                line = {"seed": seed, "side": name, "rows": rest.height, **found[name][-1]}
                print(json.dumps(line), flush=True)
    print_means(found)


def print_means(found: dict[str, list[dict[str, float]]]) -> None:
    """Mean ± standard error per side, and of the difference seed by seed."""
    sides = {
        name: {metric: np.array([run[metric] for run in runs]) for metric in runs[0]}
        for name, runs in found.items()
    }
    first, second = sides.values()
    sides["difference"] = {metric: second[metric] - first[metric] for metric in first}
    for name, metrics in sides.items():
        print(name)
        for metric, v in metrics.items():
            error = f" ± {v.std(ddof=1) / len(v) ** 0.5:.4f}" if len(v) > 1 else ""
            print(f"    {metric:<18} {v.mean():+.4f}{error}")


if __name__ == "__main__":
    main()
