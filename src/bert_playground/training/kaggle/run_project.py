"""run_project: members on every fold, their blend, and a checked submission file; each step is kept once it is done."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.data.kaggle.submission import write_parts
from bert_playground.data.kaggle.submission_check import SubmissionCheck, check_submission
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.files import write_bytes
from bert_playground.logger import logger
from bert_playground.models.sizes import fit_to_checkpoint
from bert_playground.predict_table import predict_table
from bert_playground.runs import RunDir
from bert_playground.tasks import TASKS
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.cross_validation.schedule import Tuner
from bert_playground.training.kaggle.project import Project
from bert_playground.training.kaggle.run_score import digest_file
from bert_playground.training.kaggle.start import Tables
from bert_playground.training.metrics.scorer import METRICS
from bert_playground.training.run_folder import CHANGEABLE

NUM_FOLDS = 5  # where the project has no folds file
# May change when a run is gone on with, but make it another one.
DECISIVE = ("training.epochs", "training.max_steps", "cross_validation.time")
ANSWERS = "submission.csv"  # in the folder of the run


@dataclass(frozen=True)
class ProjectRun:
    """What a project's run has come to.

    Attributes:
        run: the folder.
        summary: what summary.json holds.
        submission: the checked file in the run's folder; None: there is no table to predict.
        check: what was found in it; None: there is no sample.
    """

    run: RunDir
    summary: Mapping[str, Any]
    submission: Path | None
    check: SubmissionCheck | None


def run_project(
    project: Project,
    tables: Tables,
    config: RunConfig,
    sources: Mapping[str, str],
    *,
    new: bool = False,
    tune: Tuner | None = None,
) -> ProjectRun:
    """Fit, blend, predict and check; what an earlier call with the same settings and data has done is not done again.

    Args:
        project: of the competition.
        tables: its files.
        config: of bert.yaml and flags.
        sources: for each dotted path of the configuration where its value came from.
        new: begin a new run, whatever is there.
        tune: as for `run_cross_validation`.

    Raises:
        ValueError: the configuration does not fit, see `run_cross_validation`; or the answers do not fit the sample.
        KeyboardInterrupt: Ctrl-C; the next call goes on.
    """
    config = on_folds(config, project)
    found = None if new else find_run(config, sources, project)
    if found is not None and found.summary.is_file():
        logger.info(f"kept: {found.path}, with the same settings and data; --new trains again")
        summary = json.loads(found.summary.read_text(encoding="utf-8"))
    else:
        if found is not None:
            logger.info(f"going on with {found.path}")
        begun = None if found is None else found.path
        result = run_cross_validation(config, sources, resume=begun, tune=tune)
        found, summary = result.run_dir, result.summary
    if tables.test is None:
        return ProjectRun(found, summary, None, None)
    answers = found.path / ANSWERS
    if answers.is_file() and answers.stat().st_mtime > tables.test.stat().st_mtime:
        logger.info(f"kept: {answers}")
    else:
        predict_answers(found.path, tables.test, tables.sample, answers, summary)
    check = None
    if tables.sample is not None:
        check = check_submission(answers, tables.sample)
        check.refuse_faults(answers, tables.sample)
    write_bytes(project.submission, answers.read_bytes())
    return ProjectRun(found, summary, answers, check)


def on_folds(config: RunConfig, project: Project) -> RunConfig:
    """The configuration, over the project's folds unless it names others."""
    named = config.cross_validation.folds or config.data.folds
    if named is None:
        named = project.folds if project.folds.is_file() else NUM_FOLDS
    asked = config.cross_validation.model_copy(update={"folds": named})
    data = config.data.model_copy(update={"folds": None})
    return config.model_copy(update={"cross_validation": asked, "data": data})


def find_run(config: RunConfig, sources: Mapping[str, str], project: Project) -> RunDir | None:
    """The newest run over folds by the same settings, of a training table and folds that have not changed since."""
    asked = _comparable(fit_to_checkpoint(config, sources)[0].model_dump(mode="json"))
    for path in sorted(config.training.output_dir.glob("run_*"), reverse=True):
        run = RunDir(path)
        if run.fold_fits.is_dir() and _comparable(_stored(run)) == asked:
            newest = max(_written(each) for each in (config.data.train, _file_of(config)))
            if newest < run.config.stat().st_mtime and _has_folds(run, config):
                return run
    return None


def predict_answers(
    run: Path, test: Path, sample: Path | None, output: Path, summary: Mapping[str, Any]
) -> None:
    """Write the answers to a table, as probabilities where the metric judges these."""
    predictor = load_predictor(run)
    metric = METRICS.get(str(summary["blend"]["metric"]))
    is_classification = TASKS[predictor.pipeline.task].is_classification
    judges_classes = metric is None or metric.decides or predictor.pipeline.task == "ordinal"
    parts = predict_table(
        predictor,
        test,
        probabilities=is_classification and not judges_classes,
        sample_columns=() if sample is None else read_table(sample).columns,
        drift=predictor.pipeline.watch_drift(),
    )
    write_parts(output, parts, target=predictor.pipeline.target, sample=sample)


def _comparable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted path → value of what makes a run another one."""
    return dict(_without_changeable(values))


def _without_changeable(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, settings in values.items():
        for key, value in settings.items():
            path = f"{section}.{key}"
            if not path.startswith(CHANGEABLE) or path in DECISIVE:
                yield path, value


def _stored(run: RunDir) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(run.config.read_text(encoding="utf-8"))["values"]
    except (OSError, ValueError, KeyError):  # killed before it was written; another version's
        return {}
    return values


def _written(path: Path | None) -> float:
    return path.stat().st_mtime if path is not None and path.is_file() else 0.0


def _file_of(config: RunConfig) -> Path | None:
    folds = config.cross_validation.folds
    return folds if isinstance(folds, Path) else None


def _has_folds(run: RunDir, config: RunConfig) -> bool:
    """Whether the run's folds are those of the file, as far as it wrote them down."""
    named, own = _file_of(config), run.folds_file(0)
    if named is None or not own.is_file():
        return True
    return digest_file(named) == digest_file(own) or read_table(named).equals(read_table(own))
