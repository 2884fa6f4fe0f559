"""conclude: answers of all folds, the blend that was fitted on them, oof.parquet, blend.json and the summary."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_playground.blend_predictor import write_blend
from bert_playground.blending import Blend, fit_blend
from bert_playground.blending.objective import Objective, standard_error
from bert_playground.config.schema import RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare.folds import Fold, PreparedFolds
from bert_playground.data.targets.fit import find_units
from bert_playground.files import replaced_directory
from bert_playground.logger import logger
from bert_playground.runs import BLEND_NAME, RunDir
from bert_playground.training.cross_validation.epochs import choose_epochs
from bert_playground.training.cross_validation.fold_fit import (
    answer_fold,
    load_fold_model,
    read_answers,
    read_curve,
    write_answers,
)
from bert_playground.training.cross_validation.out_of_fold import OutOfFold
from bert_playground.training.cross_validation.refit_members import refit_members
from bert_playground.training.metrics.scorer import METRICS, make_scorer
from bert_playground.training.objectives import make_objective
from bert_playground.training.report.conclude import conclude_run
from bert_playground.training.run_folder import RunResult

if TYPE_CHECKING:
    from bert_playground.training.cross_validation.schedule import Schedule

Array = np.ndarray[Any, Any]
BLENDED = "blend"


def conclude(
    run: RunDir, config: RunConfig, folds: PreparedFolds, schedule: "Schedule", seconds: float
) -> RunResult:
    """Everything that comes after the last model.

    Args:
        run: of all models.
        config: of the run.
        folds: the rows.
        schedule: what was fitted.
        seconds: that it took.
    """
    encoders = {member.name for member in schedule.members if member.is_encoder}
    answers: dict[str, dict[Fold, Array]] = {}
    epochs: dict[str, int] = {}
    for name, fitted in schedule.complete().items():
        if name in encoders:
            answers[name], epochs[name] = _answer_encoder(run, name, fitted, folds)
        else:
            answers[name] = {fold: _answer(run, name, fold, folds, None) for fold in fitted}
    objective = find_objective(config, folds)
    found = OutOfFold.collect(folds, answers)
    found = _drop_losing_pseudo(found, folds, objective, schedule)
    rows = found.rows
    blend = _fit_blend(config, found, objective)
    nested = _spread(blend.nested_scores, rows, folds)
    found.write(run.out_of_fold, {} if nested is None else {BLENDED: nested})
    used = blend.stack.used
    models = {name: [_model_folder(run, name, fold) for fold in answers[name]] for name in used}
    if config.training.refit:
        models |= refit_members(schedule, used, epochs)
    first = next(iter(models.values()))[0]
    write_blend(run.path, models, blend.stack, TextPipeline.load(first), folds.labels)
    summary = _summarise(run, folds, found, blend, schedule, epochs, seconds)
    for sentence in blend.sentences():
        logger.info(sentence)
    conclude_run(run, summary, folds.prepared, has_report=config.training.report)
    return RunResult(run, summary["metrics"], run.path, summary)


def find_objective(config: RunConfig, folds: PreparedFolds) -> Objective:
    """What a run over folds is judged by: the metric that was asked for, that of the data set, or the task's."""
    schema = folds.prepared.schema
    asked = config.checkpoint.best_model_metric or config.training.metric or schema.metric
    return make_objective(schema.task, asked, find_units(folds.labels))


def measure_encoder(
    run: RunDir, config: RunConfig, folds: PreparedFolds, name: str
) -> dict[str, float]:
    """The metrics of one encoder that all folds have, as a run over folds of it alone would have them."""
    answers, _ = _answer_encoder(run, name, list(folds.folds), folds)
    found = OutOfFold.collect(folds, {name: answers})
    blend = _fit_blend(config, found, find_objective(config, folds))
    return _as_val(_measure_blend(_make_scorer(folds), folds.truth[found.rows], blend, found))


def _fit_blend(config: RunConfig, found: OutOfFold, objective: Objective) -> Blend:
    rows = found.rows
    return fit_blend(
        {name: found.means[name][rows] for name in found.answers},
        found.folds.truth[rows],
        found.folds.assignments[0][rows],
        objective,
        config.cross_validation.blend,
    )


def _make_scorer(folds: PreparedFolds) -> Callable[[Array, Array], dict[str, float]]:
    schema = folds.prepared.schema
    also = [schema.metric] if schema.metric else []
    return make_scorer(schema.task, *also, decode=find_units(folds.labels))


def _model_folder(run: RunDir, name: str, fold: Fold) -> Path:
    folder = run.fold_fit(fold.repeat, fold.number, name)
    if (folder / "model").is_dir():
        return folder / "model"
    kept = RunDir(folder).kept
    assert kept is not None
    return kept


def _answer_encoder(
    run: RunDir, name: str, fitted: list[Fold], folds: PreparedFolds
) -> tuple[dict[Fold, Array], int]:
    """An encoder's answers after epochs that other folds chose; the weights of the epoch that all chose stay as `best`."""
    folders = {fold: run.fold_fit(fold.repeat, fold.number, name) for fold in fitted}
    curves = {fold: read_curve(folder) for fold, folder in folders.items()}
    mode = next(iter(curves.values()))[1]
    chosen, everyone = choose_epochs([curve for curve, _ in curves.values()], mode)
    answers = {}
    for fold, epoch in zip(fitted, chosen, strict=True):
        has_epochs = RunDir(folders[fold]).at_epoch(epoch).is_dir()
        answers[fold] = _answer(run, name, fold, folds, epoch if has_epochs else None)
    for folder in folders.values():
        _keep_epoch(RunDir(folder), everyone)
    last = len(min((curve for curve, _ in curves.values()), key=len))
    is_chosen = any(RunDir(folder).best.is_dir() for folder in folders.values())
    return answers, everyone if is_chosen else last


def _keep_epoch(run: RunDir, epoch: int) -> None:
    """Make one epoch's model `best`, and remove what is needed to go on training."""
    chosen = run.at_epoch(epoch)
    if chosen.is_dir():
        with replaced_directory(run.best) as folder:
            shutil.copytree(chosen, folder, dirs_exist_ok=True)
        shutil.rmtree(run.final, ignore_errors=True)
    for old in (*run.resumable(), *run.checkpoints.glob("epoch_*")):
        shutil.rmtree(old)


def _answer(run: RunDir, name: str, fold: Fold, folds: PreparedFolds, epoch: int | None) -> Array:
    """What a model answers to its fold; what was answered before is read again."""
    folder = run.fold_fit(fold.repeat, fold.number, name)
    known = read_answers(folder)
    if known is None:
        predictor = load_fold_model(folder, epoch)
        known = answer_fold(predictor, folds.table[fold.val], folds.labels)
        write_answers(folder, known)
    return known


def _drop_losing_pseudo(
    found: OutOfFold, folds: PreparedFolds, objective: Objective, schedule: "Schedule"
) -> OutOfFold:
    """Models that learned from pseudo-labels have to win against those that did not, by more than the standard error."""
    answers = dict(found.answers)
    rows = found.rows
    labels, numbers = folds.truth, folds.assignments[0]
    teachers = {member.name: member.teacher for member in schedule.members}
    for name in found.answers:
        before = teachers[name]
        if before is None or before not in found.answers:
            continue
        gains = []
        for number in np.unique(numbers[rows]):
            inside = rows[numbers[rows] == number]
            values = [
                objective.judge(labels[inside], found.means[each][inside])
                for each in (name, before)
            ]
            gains.append(values[0] - values[1])
        gain, error = float(np.mean(gains)), standard_error(np.array(gains))
        spread = "" if error is None else f" ± {error:.4f}"
        said = f"{objective.name} {gain:+.4f}{spread} over the folds, beside {before}"
        if error is not None and gain > error:
            logger.info(f"{name} joins the others: pseudo-labels gain, {said}")
            continue
        # A metric that a fold does not define shows nothing.
        del answers[name]
        schedule.skipped[name] = f"pseudo-labels are not shown to gain: {said}"
        logger.info(f"{name} is left out: {schedule.skipped[name]}")
    return replace(found, answers=answers)


def _spread(scores: Array | None, rows: Array, folds: PreparedFolds) -> Array | None:
    """Scores of some rows, with NaN in the others."""
    if scores is None:
        return None
    table = np.full((folds.table.height, *scores.shape[1:]), np.nan)
    table[rows] = scores
    return table


def _summarise(
    run: RunDir,
    folds: PreparedFolds,
    found: OutOfFold,
    blend: Blend,
    schedule: "Schedule",
    epochs: Mapping[str, int],
    seconds: float,
) -> dict[str, Any]:
    schema, rows = folds.prepared.schema, found.rows
    labels = folds.truth[rows]
    scorer = _make_scorer(folds)
    members = {name: _as_val(scorer(labels, found.means[name][rows])) for name in found.answers}
    return {
        "kind": "cross_validation",
        "task": schema.task,
        "target": schema.target,
        "monitor": blend.objective.name,
        "num_folds": len({fold.number for fold in folds.folds}),
        "num_repeats": len(folds.assignments),
        "val_rows": len(rows),
        "train_rows": folds.table.height,
        "metrics": _as_val(_measure_blend(scorer, labels, blend, found)),
        "baseline": members.get("constant", {}),
        "blend": blend.to_dict(),
        "member_metrics": members,
        **schedule.told(),
        "kept_epochs": epochs,
        "seconds": seconds,
        "files": {
            name: str(path)
            for name, path in {
                "run": run.path,
                "best": run.path,
                "blend": run.path / BLEND_NAME,
                "oof": run.out_of_fold,
                "folds": run.folds_file(0),
                "log": run.train_log,
            }.items()
            if path.exists()
        },
    }


def _as_val(metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"val_{name}": value for name, value in metrics.items()}


def _measure_blend(
    scorer: Callable[[Array, Array], dict[str, float]],
    labels: Array,
    blend: Blend,
    found: OutOfFold,
) -> dict[str, float]:
    """Metrics that look at classes are of the nested decisions, all others of the nested probabilities."""
    if blend.nested is None or blend.nested_scores is None:
        rows = found.rows
        return scorer(
            labels, blend.stack.score({name: found.means[name][rows] for name in found.answers})
        )
    decided = scorer(labels, blend.nested)
    return {
        name: decided.get(name, value) if METRICS[name].decides else value
        for name, value in scorer(labels, blend.nested_scores).items()
    }
