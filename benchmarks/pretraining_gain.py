"""What `bert pretrain` adds to a model from random weights: rows put aside, several seeds, means with standard errors.

    uv run python benchmarks/pretraining_gain.py --train train.csv --test test.csv [--labelled 500] [--seeds 5]

Per seed, a share of the rows is put aside, stratified by class; both sides are fine-tuned by `bert train` with its defaults
on the rest (or on so many labelled rows of it), and their best checkpoints answer the rows put aside, once. Pretraining happens once, on
the text of all rows, those put aside included; it sees no label. `--first-seed 100` gives other parts, to choose settings on.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from bert_playground.config import load_config
from bert_playground.data.core.columns import infer_roles
from bert_playground.data.core.table import read_table
from bert_playground.inference import Predictor
from bert_playground.logs import set_up_logs
from bert_playground.training import run_training
from bert_playground.training.pretraining import run_pretraining

Array = np.ndarray


def choose_rows(labels: Array, number: int, seed: int) -> Array:
    """A mask of about `number` rows with all classes in proportion, bool [R]."""
    random, chosen = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        chosen[rows[: round(number / len(labels) * len(rows))]] = True
    return chosen


def score(checkpoint: Path, aside: pl.DataFrame) -> dict[str, float]:
    """Accuracy, ROC-AUC (one against the rest) and log loss on labelled rows."""
    answer = Predictor.load(checkpoint).score(aside)
    labels, scores = answer.labels, answer.scores.astype(np.float64)
    if scores.ndim == 1:
        scores = np.stack([1 - scores, scores], axis=1)
    scores /= scores.sum(axis=1, keepdims=True)
    is_binary = scores.shape[1] == 2
    return {
        "accuracy": accuracy_score(labels, scores.argmax(axis=1)),
        "roc_auc": roc_auc_score(
            labels, scores[:, 1] if is_binary else scores, multi_class="ovr", average="macro"
        ),
        "log_loss": log_loss(labels, scores),
    }


def fine_tune(train: Path, seed: int, output: Path, model: str | None) -> Path:
    """`bert train` with its defaults; the best checkpoint."""
    flags: dict[str, object] = {"data.train": train, "training.seed": seed}
    flags |= {"training.output_dir": output, "checkpoint.save_best_only": True}
    config, _ = load_config(None, {}, flags | ({"model.pretrained": model} if model else {}))
    best = run_training(config).best_checkpoint
    assert best is not None
    return best


def pretrain(asked: argparse.Namespace, output: Path) -> str:
    """`bert pretrain` on all rows; the best checkpoint."""
    flags: dict[str, object] = {
        "data.train": asked.train,
        "pretraining.tables": asked.test,
        "training.output_dir": output,
        "training.batch_size": asked.batch_size,
        "training.epochs": asked.epochs,
        "checkpoint.save_best_only": True,
    }
    config, _ = load_config(None, {}, flags)
    result = run_pretraining(config)
    print(json.dumps({"pretrained": result.metrics, "steps": result.summary["steps"]}), flush=True)
    return str(result.best_checkpoint)


def main() -> None:
    """Measure, and print one line per run and a table of means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, nargs="*", default=[])
    parser.add_argument("--labelled", type=int, help="labelled rows; default: all not put aside")
    parser.add_argument("--aside", type=float, default=0.25, help="share of rows put aside")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of pretraining; default: by its recipe")
    parser.add_argument("--batch-size", type=int, default=128, help="of pretraining")
    parser.add_argument("--pretrained", help="a folder of `bert pretrain`, to use it again")
    parser.add_argument("--output", type=Path, default=Path("output/pretraining_gain"))
    asked = parser.parse_args()
    set_up_logs("WARNING")
    frame = read_table(asked.train)
    target = infer_roles(frame).target
    labels = frame[target].to_numpy()
    model = asked.pretrained or pretrain(asked, asked.output)
    found: dict[str, list[dict[str, float]]] = {"random weights": [], "pretrained": []}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        is_aside = choose_rows(labels, round(asked.aside * len(labels)), seed)
        rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
        if asked.labelled:
            rest = rest.filter(choose_rows(labels[~is_aside], asked.labelled, seed))
        with tempfile.TemporaryDirectory() as folder:
            rest.write_csv(table := Path(folder) / "rows.csv")
            for name, start in (("random weights", None), ("pretrained", model)):
                scores = score(fine_tune(table, seed, asked.output, start), aside)
                found[name].append(scores)
                print(
                    json.dumps({"seed": seed, "from": name, "rows": rest.height, **scores}),
                    flush=True,
                )
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
        cells = [
            f"{metric} {v.mean():+.4f} ± {v.std(ddof=1) / len(v) ** 0.5:.4f}"
            for metric, v in metrics.items()
        ]
        print(f"{name:<15} {'   '.join(cells)}")


if __name__ == "__main__":
    main()
