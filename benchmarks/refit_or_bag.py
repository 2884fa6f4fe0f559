"""Whether the models of the folds answer new rows better together, or one model that is fitted once more on all rows.

    uv run python benchmarks/refit_or_bag.py --train titanic/train.csv --group Ticket [--seeds 5] [--members linear,boosting,encoder]

A fifth of the rows (`--group Ticket`: whole groups of them) is put aside. On the rest `bert train --folds 5 --refit` fits
every member on five folds and once more on all of it; their mean is the blend, so that each has a weight. The rows put aside
are answered by the mean of the models of the folds, and by the one model, with the same decision. Both differ by the seed's
rows, so what refitting gains is paired by seed.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from held_out import put_aside
from rows_aside import (
    LOWER_IS_BETTER,
    Scores,
    error_of_mean,
    judge,
    make_parser,
    measure_tables,
    write_table,
)

from bert_playground.blend_predictor import BlendPredictor
from bert_playground.config import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.logs import set_up_logs
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.cross_validation.fold_fit import load_fold_model

FOLDS = 5


def measure(path: Path, seed: int, asked: argparse.Namespace) -> dict[str, Scores]:
    """The metrics of each member on the rows put aside, by the models of the folds and by the one of all rows."""
    frame = read_table(path)
    is_aside = put_aside(frame, asked.aside, seed, asked.group)
    aside = frame.filter(is_aside)
    with tempfile.TemporaryDirectory() as folder:
        flags = {
            "data.train": write_table(Path(folder), frame.filter(~is_aside), path),
            "training.seed": seed,
            "training.output_dir": Path(folder) / "runs",
            "training.refit": True,
            "training.report": False,
            "cross_validation.folds": FOLDS,
            "cross_validation.members": asked.members,
            "cross_validation.blend": "mean",
        }
        if asked.model:
            flags["model.pretrained"] = asked.model
        run = run_cross_validation(*load_config(None, flags=flags)).run_dir
        refit = BlendPredictor.load(run.path)
        of_folds = {
            name: tuple(load_fold_model(run.fold_fit(0, k, name), None) for k in range(FOLDS))
            for name in refit.members
        }
        sides = {}
        for side, each in {"refit": refit, "folds": replace(refit, members=of_folds)}.items():
            for name in each.members:
                sides[f"{name}, {side}"] = judge(
                    each.pipeline, aside, each.member_scores(name, aside)
                )
            scores = each.predict(aside)
            sides[f"blend, {side}"] = judge(each.pipeline, aside, scores)
            decided = judge(each.pipeline, aside, each.decide(scores))
            kept = ("accuracy", "f1", "f1_macro", "quadratic_kappa")
            sides[f"blend decided, {side}"] = {m: v for m, v in decided.items() if m in kept}
    return sides


def report(found: dict[str, list[Scores]]) -> None:
    """Mean ± standard error of both sides, and by how much refitting is better, paired by seed."""
    for side in (name for name in found if name.endswith(", folds")):
        member = side.removesuffix(", folds")
        print(member)
        for metric in found[side][0]:
            folds, refit = (
                np.array([run[metric] for run in found[f"{member}, {how}"]])
                for how in ("folds", "refit")
            )
            gain = folds - refit if metric in LOWER_IS_BETTER else refit - folds
            means = "   ".join(
                f"{how} {values.mean():.4f} ± {error_of_mean(values):.4f}"
                for how, values in (("folds", folds), ("refit", refit))
            )
            print(
                f"    {metric:<16} {means}   refit better by {gain.mean():+.4f} ± {error_of_mean(gain):.4f}",
                flush=True,
            )


def main() -> None:
    """Measure, and print what refitting gains on each table."""
    parser = make_parser(__doc__, "output/refit_or_bag")
    parser.add_argument("--members", default="linear,boosting,lightgbm")
    parser.add_argument("--model", help="a checkpoint for the members encoder and checkpoint")
    asked = parser.parse_args()
    set_up_logs("WARNING")
    measure_tables(asked, measure, report)


if __name__ == "__main__":
    main()
