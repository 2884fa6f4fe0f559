"""What each augmentation, and test-time augmentation, adds: rows put aside, several seeds, means with standard errors.

    uv run python benchmarks/augmentation_gain.py --train train.csv [--rows 1000] [--seeds 5] \
        --try column_shuffle=1 --try token_masking=0.1 --try value_swap=0.1,column_dropout=0.1 [--tta 8]

Per seed, a share of the rows is put aside, stratified by class; `bert train` with its defaults learns the rest (or so
many rows of it) without and with each augmentation, and the best checkpoints answer the rows put aside, once. Seeds and
rows are the same for all, so differences are taken seed by seed. `--first-seed 100` gives other parts, to choose
settings on; `--set data.template=key_value` sets anything else of the configuration, for all alike.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from bert_playground.config import load_config
from bert_playground.data.core.columns import infer_roles
from bert_playground.data.core.table import read_table
from bert_playground.inference import Predictor
from bert_playground.logs import set_up_logs
from bert_playground.training import run_training
from bert_playground.training.metrics import make_report

MAX_CLASSES = 50  # more different targets are numbers, and rows are put aside as chance has it
LOWER_IS_BETTER = ("log_loss", "loss", "rmse", "mae", "rmsle")


def choose_rows(frame: pl.DataFrame, target: str, number: int, seed: int) -> np.ndarray:
    """A mask of about `number` rows with all classes in proportion, bool [R]."""
    random, chosen = np.random.default_rng(seed), np.zeros(frame.height, bool)
    column = frame[target]
    labels = column.to_numpy() if column.n_unique() <= MAX_CLASSES else np.zeros(frame.height)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        chosen[rows[: round(number / frame.height * len(rows))]] = True
    return chosen


def read_settings(text: str) -> dict[str, object]:
    """The values in "a=1,b=[x, y]", by name."""
    return yaml.safe_load("{" + text.replace("=", ": ") + "}")


def train(table: Path, seed: int, more: dict[str, object]) -> Path:
    """`bert train` with its defaults and `more`; the best checkpoint."""
    flags: dict[str, object] = {"data.train": table, "training.seed": seed}
    flags |= {"training.output_dir": table.parent / "runs", "checkpoint.save_best_only": True}
    config, _ = load_config(None, {}, flags | more)
    best = run_training(config).best_checkpoint
    assert best is not None
    return best


def score(checkpoint: Path, aside: pl.DataFrame, num_variants: int) -> dict[str, float]:
    """The metrics of `bert evaluate` on the rows put aside."""
    predictor = Predictor.load(checkpoint)
    answer = predictor.score(aside, num_variants=num_variants)
    assert answer.labels is not None
    report = make_report(predictor.pipeline.task, decode=predictor.pipeline.in_units)
    return report(answer.labels, answer.scores)


def measure(asked: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Metrics by what was tried, one entry per seed."""
    frame = read_table(asked.train)
    target = asked.target or infer_roles(frame).target
    same: dict[str, object] = {"data.target": target}
    same |= {path: yaml.safe_load(value) for path, value in (s.split("=", 1) for s in asked.set)}
    tried: dict[str, dict[str, object]] = {"off": {}}
    tried |= {text: read_settings(text) for text in asked.tries}
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        is_aside = choose_rows(frame, target, round(asked.aside * frame.height), seed)
        rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
        if asked.rows:
            rest = rest.filter(choose_rows(rest, target, asked.rows, seed))
        aside = aside[: asked.most_aside]
        with tempfile.TemporaryDirectory() as folder:
            rest.write_csv(table := Path(folder) / "rows.csv")
            for name, options in tried.items():
                flags = {f"augmentation.{key}": value for key, value in options.items()}
                checkpoint = train(table, seed, same | flags)
                for number in (1, *([asked.tta] if asked.tta else [])):
                    label = name if number == 1 else f"{name}, tta {number}"
                    scores = score(checkpoint, aside, number)
                    found.setdefault(label, []).append(scores)
                    line = {"seed": seed, "with": label, "rows": rest.height, **scores}
                    print(json.dumps(line), flush=True)
                shutil.rmtree(table.parent / "runs")
    return found


def print_means(found: dict[str, list[dict[str, float]]]) -> None:
    """Mean ± standard error of each, and of its difference from "off" seed by seed; "better" is what it says."""
    metrics = {name for runs in found.values() for run in runs for name in run}
    metrics = [name for name in found["off"][0] if name in metrics]
    for name, runs in found.items():
        cells = []
        for metric in metrics:
            values = np.array([run[metric] for run in runs])
            base = np.array([run[metric] for run in found["off"]])
            gain = (base - values) if metric in LOWER_IS_BETTER else (values - base)
            cell = f"{metric} {values.mean():.4f} ± {_error(values):.4f}"
            if name != "off":
                cell += f" (better by {gain.mean():+.4f} ± {_error(gain):.4f})"
            cells.append(cell)
        print(f"{name:<32} {'   '.join(cells)}", flush=True)


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def main() -> None:
    """Measure, and print one line per run and a table of means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--target", help="column to predict; default: inferred")
    parser.add_argument("--rows", type=int, help="training rows; default: all not put aside")
    parser.add_argument("--aside", type=float, default=0.25, help="share of rows put aside")
    parser.add_argument(
        "--most-aside", type=int, default=5000, help="so many of these are answered"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="NAME=VALUE,…")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--tta", type=int, help="answer so many variants of each row too")
    asked = parser.parse_args()
    set_up_logs("WARNING")
    print_means(measure(asked))


if __name__ == "__main__":
    main()
