"""What `bert train --config best` promises out of fold and keeps on rows put aside, beside gradient boosting on the same rows.

    uv run python benchmarks/blend_aside.py --train titanic/train.csv wine/train.csv [--config best] [--time 20m] [--aside 0.2]

A fifth of the rows (`--group Ticket`: whole groups of them) is put aside before anything is fitted. The command learns from
the rest, within the time; its folder answers the rows put aside, once. Beside it every estimator that is installed
(`uv sync --extra boost`) is fitted on all of the rest, with the modest setting that it has in the product. The metric is that
of the known data set, or of the task. Standard errors: out of fold over the folds; on the rows put aside by a bootstrap of
them, 500 times, of differences paired.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import polars as pl
from held_out import put_aside
from rows_aside import write_table

from bert_playground.blend_predictor import BlendPredictor
from bert_playground.blending.objective import Objective
from bert_playground.cli.utils.tuner import find_tuner
from bert_playground.config import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.logs import set_up_logs
from bert_playground.tabular import available_estimators
from bert_playground.tabular.predictor import fit_tabular
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.objectives import make_objective

Array = np.ndarray
DRAWS = 500


def bootstrap(objective: Objective, labels: Array, *answers: Array) -> list[float]:
    """Standard error of the first answers' metric, then of its difference to that of each other."""
    random = np.random.default_rng(0)
    values = []
    for _ in range(DRAWS):
        rows = random.integers(0, len(labels), len(labels))
        values.append([objective.judge(labels[rows], each[rows]) for each in answers])
    table = np.array(values)
    differences = [
        table[:, 0],
        *(table[:, 0] - table[:, place] for place in range(1, len(answers))),
    ]
    return [float(np.nanstd(each, ddof=1)) for each in differences]


def measure(path: Path, asked: argparse.Namespace) -> dict[str, object]:
    """Everything of one table."""
    frame = read_table(path)
    is_aside = put_aside(frame, asked.aside, asked.seed, asked.group)
    rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
    folder = asked.output / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    table = write_table(folder, rest, path)
    test = path.with_name("test.csv")
    if test.is_file():  # what `bert pretrain` may read; the rows put aside are not among them
        read_table(test).write_csv(folder / "test.csv")
    flags: dict[str, object] = {"data.train": table, "training.seed": asked.seed}
    flags |= {"training.output_dir": folder / "runs", "cross_validation.jobs": asked.jobs}
    if asked.time:
        flags["cross_validation.time"] = asked.time
    if asked.model:
        flags["model.pretrained"] = asked.model
    started = time.perf_counter()
    config = load_config(asked.config, flags=flags)
    result = run_cross_validation(*config, tune=find_tuner())
    seconds = time.perf_counter() - started
    predictor = BlendPredictor.load(result.run_dir.path)
    pipeline = predictor.pipeline
    labels = pipeline.encode_labels(aside)
    decode = None if pipeline.classes else pipeline.in_units
    objective = make_objective(pipeline.task, pipeline.schema.metric, decode)
    scores = predictor.predict(aside)
    sides = {"blend": predictor.decide(scores) if objective.decides else scores}
    for name in predictor.members:
        sides[f"{name} of the folds"] = predictor.member_scores(name, aside)
    sides |= score_estimators(pipeline, rest, aside, asked.seed)
    errors = bootstrap(objective, labels, *sides.values())
    blend = result.summary["blend"]
    return {
        "table": str(path),
        "metric": objective.name,
        "seconds": seconds,
        "rows": [rest.height, aside.height],
        "out_of_fold": [blend["score"], blend["standard_error"]],
        "aside": [objective.compute(labels, sides["blend"]), errors[0]],
        "ahead_of": {
            name: [
                objective.compute(labels, each),
                objective.judge(labels, sides["blend"]) - objective.judge(labels, each),
                error,
            ]
            for (name, each), error in zip(list(sides.items())[1:], errors[1:], strict=True)
        },
        "weights": {member["name"]: member["weight"] for member in blend["members"]},
        "skipped": {**result.summary["skipped"], **result.summary["failures"]},
        "sentences": blend["sentences"],
    }


def score_estimators(
    pipeline: object, rest: pl.DataFrame, aside: pl.DataFrame, seed: int
) -> dict[str, Array]:
    """Each estimator's answers to the rows put aside, fitted on all of the rest."""
    return {
        name: fit_tabular(name, pipeline, rest, seed=seed, num_threads=2).predict(aside)
        for name in available_estimators()
    }


def main() -> None:
    """Measure, and print one line for each table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--config", default="best")
    parser.add_argument("--time", help="that the command may take, such as 20m")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--aside", type=float, default=0.2, help="share of rows put aside")
    parser.add_argument("--group", help="column whose rows are put aside together")
    parser.add_argument("--model", help="a checkpoint for the member of that name")
    parser.add_argument("--output", type=Path, default=Path("output/blend_aside"))
    asked = parser.parse_args()
    set_up_logs("WARNING")
    for path in asked.train:
        print(json.dumps(measure(path, asked)), flush=True)


if __name__ == "__main__":
    main()
