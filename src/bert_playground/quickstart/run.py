"""run_quickstart: encoder, boosting, linear model and their stack on films put aside, and a submission."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bert_playground import kernels
from bert_playground.blend_predictor import PIPELINE, read_blend
from bert_playground.blending.stack import Stack
from bert_playground.config import load_config
from bert_playground.data.kaggle.submission import write_submission
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table import read_table
from bert_playground.engines.local_processes import processes
from bert_playground.environment import count_cores
from bert_playground.quickstart.films import ID, TARGET, Part, put_aside, read_films, write_tables
from bert_playground.quickstart.picture import draw_scores
from bert_playground.quickstart.scores import STACK, Score, judge, summarise
from bert_playground.runs import RunDir
from bert_playground.tabular.estimators import ESTIMATORS
from bert_playground.tabular.predictor import TabularPredictor, fit_tabular
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.cross_validation.fold_fit import answer_fold, load_fold_model
from bert_playground.training.report.conclude import write_late

# name of a member → what it is in the table of scores
MEMBERS = {
    "boosting": "boosting",
    "linear": "TF-IDF + linear",
    "encoder": "encoder",
}


@dataclass(frozen=True)
class Effort:
    """How much is trained.

    Attributes:
        num_parts: of the table, of which each is put aside once, while models of another seed learn from the others.
        num_folds: of the rows that are learned from.
        num_rows: of the table; None: all.
        num_processes: that fit side by side.
        settings: of the encoder, which differ from those of `bert train`.
    """

    num_parts: int = 3
    num_folds: int = 2
    num_rows: int | None = None
    num_processes: int = 1
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class QuickstartResult:
    """What the first run shows.

    Attributes:
        scores: of each model on rows put aside, the stack first.
        verdict: whether the stack leads, in one sentence.
        num_test_rows: that were put aside, all parts together.
        num_parts: how often rows were put aside.
        seconds: that everything took, from the tables to the scores.
        cpu_seconds: that all cores together spent on it.
        files: what is it → path.
    """

    scores: list[Score]
    verdict: str
    num_test_rows: int
    num_parts: int
    seconds: float
    cpu_seconds: float
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def run_quickstart(
    output_dir: Path, seed: int = 0, effort: Effort | None = None
) -> QuickstartResult:
    """Write the tables, train on folds, answer the rows put aside, and score everybody on the same answers.

    Args:
        output_dir: gets quickstart/ with the tables and the submission, and the run.
        seed: of the parts, the folds, the weights and the order.
        effort: how much is trained; None: what suits this machine.
    """
    effort = effort or choose_effort()
    folder = output_dir / "quickstart"
    runs, judged = [], []
    films = read_films(effort.num_rows)
    started, cpu_started = time.perf_counter(), _cpu_seconds()
    with processes(effort.num_processes) if effort.num_processes > 1 else nullcontext():
        for number, part in enumerate(put_aside(films, effort.num_parts, seed)):
            tables = folder / f"part_{number + 1}" if number else folder
            write_tables(tables, part)
            output = tables if number else output_dir
            run = _train(tables / "train.csv", output, seed + number, effort)
            baselines = fit_baselines(run, tables / "train.csv", seed + number)
            answers = answer(run, tables / "test.csv", baselines)
            judged.append(judge(part.test[TARGET], answers))
            runs.append(run)
            if not number:
                _write_submission(folder, part, run, answers[STACK])
    seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - cpu_started
    scores, verdict = summarise(judged)
    picture = folder / "scores.png"
    draw_scores(scores, picture)
    has_report = write_late(runs[0], reads_tables=True)
    return QuickstartResult(
        scores=scores,
        verdict=verdict,
        num_test_rows=films.height,
        num_parts=effort.num_parts,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        files={
            "train": str(folder / "train.csv"),
            "test": str(folder / "test.csv"),
            "submission": str(folder / "submission.csv"),
            "picture": str(picture),
            "checkpoint": str(runs[0].path),
            **({"report": str(runs[0].report_path)} if has_report else {}),
        },
    )


def _train(table: Path, output_dir: Path, seed: int, effort: Effort) -> RunDir:
    flags = {
        "data.train": table,
        "data.target": TARGET,
        "data.id_column": ID,
        "model.pretrain": "off",  # it is to answer soon
        "training.output_dir": output_dir,
        "training.report": False,  # that of the first part is written when all are trained
        "training.seed": seed,
        "training.metric": "log_loss",
        "cross_validation.folds": effort.num_folds,
        "cross_validation.jobs": effort.num_processes,
        "cross_validation.members": tuple(MEMBERS),
        **effort.settings,
    }
    return run_cross_validation(*load_config(None, {}, flags)).run_dir


def fit_baselines(run: RunDir, table: Path, seed: int) -> dict[str, TabularPredictor]:
    """The models beside the encoder once more, on all training rows; columns are read as in the first fold."""
    (_, pipeline), rows = _read_blend(run), read_table(table)
    names = [name for name in MEMBERS if name in ESTIMATORS]
    with ThreadPoolExecutor(len(names)) as pool:
        fitted = pool.map(lambda name: fit_tabular(name, pipeline, rows, seed=seed), names)
        return dict(zip(names, fitted, strict=True))


def answer(
    run: RunDir, table: Path, baselines: Mapping[str, TabularPredictor]
) -> dict[str, np.ndarray]:
    """P(hit) of each row by each model.

    Args:
        run: of the folds; its stack answers as its folder does, and its encoder by the mean of its models.
        table: the rows.
        baselines: that answer for themselves.
    """
    stack, pipeline = _read_blend(run)
    rows = read_table(table)
    answers = {}
    for name in MEMBERS:
        folders = sorted(run.fold_fits.glob(f"*/*/{name}"))
        models = [load_fold_model(folder, None) for folder in folders]
        scores = [answer_fold(model, rows, pipeline.labels) for model in models]
        answers[name] = np.mean(scores, axis=0)
    stacked = stack.score(answers)
    answers |= {name: model.predict(rows) for name, model in baselines.items()}
    return {STACK: stacked} | {MEMBERS[name]: scores for name, scores in answers.items()}


def _write_submission(folder: Path, part: Part, run: RunDir, scores: np.ndarray) -> None:
    stack, pipeline = _read_blend(run)
    write_submission(
        folder / "submission.csv",
        part.test[ID],
        pipeline.decode(stack.decide(scores)),
        id_column=ID,
        target=TARGET,
        sample=folder / "sample_submission.csv",
    )


def _read_blend(run: RunDir) -> tuple[Stack, TextPipeline]:
    """How the members of a run are combined, and how its rows are read; without the models."""
    stack = Stack.from_dict(read_blend(run.path)["stack"])
    return stack, TextPipeline.load(run.path / PIPELINE)


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def choose_effort() -> Effort:
    """What trains within a minute on two cores, or within a few where MLX has one core only."""
    # Names of directors and actors are learned by heart from the third epoch on.
    settings: dict[str, object] = {
        "model.hidden_size": 64,
        "model.num_layers": 2,
        "model.num_heads": 2,
        "training.epochs": 2,
        "optimizer.learning_rate": 5e-4,
    }
    if "no native kernels" in kernels.describe():
        settings |= {"model.hidden_size": 32, "model.num_layers": 1}
        return Effort(settings=settings)
    # Two small models side by side beat one on two threads.
    return Effort(num_processes=min(2, count_cores()), settings=settings)
