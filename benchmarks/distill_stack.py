"""What one encoder keeps of a stack's gain when it learns from the stack's answers out of fold, on rows put aside.

    uv run python benchmarks/distill_stack.py --train titanic/train.csv --group Ticket [--seeds 3] [--aside 0.2] [--rows 6500]
        [--time 2m] [--members encoder,linear,lightgbm] [--layers 2]

Per seed a share of the rows is put aside before anything is fitted. From the rest learn `bert train` with its defaults (the
encoder alone), `bert train --config good` (the stack), and by `bert compress` with all layers of the encoder two students: one
with the stack as its teacher, and one with the encoder itself, which shows what further epochs do alone. Kept is the student's
gain over the encoder as a part of the stack's.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from held_out import put_aside
from rows_aside import (
    LOWER_IS_BETTER,
    Scores,
    choose_rows,
    make_parser,
    measure_tables,
    print_means,
    score,
    train,
    write_table,
)

from bert_playground.compression.compress import Request, compress_checkpoint
from bert_playground.compression.recipe import Recipe
from bert_playground.compression.recover import Recovery
from bert_playground.config import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.roles import infer_roles
from bert_playground.inference import Predictor
from bert_playground.logs import set_up_logs
from bert_playground.training.cross_validation.cross_validate import run_cross_validation

JUDGED = ("log_loss", "accuracy", "rmse")


def measure(path: Path, seed: int, asked: argparse.Namespace) -> dict[str, Scores]:
    """The metrics of all sides on the rows put aside, each with the seconds that it took."""
    frame = read_table(path)
    if asked.rows is not None and asked.rows < frame.height:
        frame = frame.filter(choose_rows(frame, infer_roles(frame).targets, asked.rows, seed))
    is_aside = put_aside(frame, asked.aside, seed, asked.group)
    rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
    folder = asked.output / f"{path.parent.name}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    table = write_table(folder, rest, path)
    found: dict[str, Scores] = {}

    def judge(name: str, started: float, checkpoint: Path) -> Path:
        seconds = time.perf_counter() - started
        found[name] = {**score(checkpoint, aside), "seconds": seconds}
        return checkpoint

    started = time.perf_counter()
    encoder = judge("encoder", started, train(table, folder / "runs", seed, {}))
    started = time.perf_counter()
    flags: dict[str, object] = {"data.train": table, "training.seed": seed}
    flags |= {"training.output_dir": folder / "runs", "cross_validation.time": asked.time}
    if asked.members:
        flags["cross_validation.members"] = asked.members
    stack = run_cross_validation(*load_config("good", flags=flags)).run_dir.path
    judge("stack", started, stack)
    layers = asked.layers or Predictor.load(encoder).model.encoder.config.num_hidden_layers
    for name, teacher in (("taught by the stack", stack), ("taught by the encoder", None)):
        started = time.perf_counter()
        request = Request(
            encoder,
            table,
            Recipe(layers=layers),
            teacher=teacher,
            recovery=Recovery(asked.epochs, asked.lr, seed=seed),
            keeps_vocabulary=True,
            seed=seed,
        )
        student = folder / name.replace(" ", "_") / f"{time.time():.0f}"
        judge(name, started, compress_checkpoint(request, student).best)
    return found


def report(found: dict[str, list[Scores]]) -> None:
    """The means, and the students' mean gain over the encoder as a part of the stack's."""
    print_means(found)
    for metric in (name for name in JUDGED if name in found["stack"][0]):
        sign = -1 if metric in LOWER_IS_BETTER else 1
        means = {
            side: sign * np.mean([run[metric] for run in runs]) for side, runs in found.items()
        }
        whole = means["stack"] - means["encoder"]
        for side in list(found)[2:]:
            kept = means[side] - means["encoder"]
            print(f"{metric}, {side}: {kept:+.4f} of the stack's {whole:+.4f}", flush=True)


def main() -> None:
    """Measure, and print one line per seed and the means of each table."""
    parser = make_parser(__doc__, "output/distill_stack")
    parser.add_argument("--rows", type=int, help="of the table; default: all")
    parser.add_argument("--time", default="2m", help="that the stack may take")
    parser.add_argument("--members", help="of the stack; default: those of the preset good")
    parser.add_argument(
        "--epochs", type=int, help="of the students; default: that of `bert compress`"
    )
    parser.add_argument(
        "--lr", type=float, help="of the students; default: that of `bert compress`"
    )
    parser.add_argument("--layers", type=int, help="of the students; default: all of the encoder")
    asked = parser.parse_args()
    set_up_logs("WARNING")
    measure_tables(asked, measure, report)


if __name__ == "__main__":
    main()
