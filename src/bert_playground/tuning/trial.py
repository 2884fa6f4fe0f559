"""TrialRunner: one configuration trained in a run folder of its own, on the rows and by the functions of `bert train`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground.blending.objective import Objective, standard_error
from bert_playground.config.schema import RunConfig
from bert_playground.data.augmentation.augmentation import Augmentation
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared, prepare
from bert_playground.data.prepare.folds import PreparedFolds, prepare_folds
from bert_playground.inference import Predictor
from bert_playground.logs import warnings_only
from bert_playground.run_record import read_record
from bert_playground.runs import RunDir
from bert_playground.training.build import fit_pipeline
from bert_playground.training.callbacks.progress import ProgressLines, progress_by
from bert_playground.training.comparison.bootstrap import bootstrap_error
from bert_playground.training.core.state import TrainState
from bert_playground.training.cross_validation.budget import Budget
from bert_playground.training.cross_validation.conclude import conclude
from bert_playground.training.cross_validation.members import choose_members
from bert_playground.training.cross_validation.schedule import Schedule, Watch
from bert_playground.training.objectives import make_objective
from bert_playground.training.pretrain_first import pretrain_first
from bert_playground.training.run import fit
from bert_playground.training.run_folder import RunResult, run_in_folder
from bert_playground.training.start import start_run, write_json
from bert_playground.tuning.pruning import (
    FIRST_FOLD,
    PRUNED,
    Follower,
    Reporter,
    outcome_of,
)

# Settings of `data` that speak of the text alone: the table is read and decided upon once for all their values.
OF_TEXT = frozenset({"template", "numeric_features", "column_order", "max_length", "derive"})
MOST_PIPELINES = 8  # that are kept
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        run: its folder.
        value: of the metric; None: it ended early.
        error: standard error of the value over folds; None: on one split nobody knows before rows are drawn again.
        seconds: that it took.
        ended: why it ended early; None: it did not.
        metrics: all of them; names start with val_.
    """

    run: RunDir
    value: float | None
    error: float | None
    seconds: float
    ended: str | None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRunner:
    """The table that all trials share, and how one is run on it.

    Attributes:
        config: of all trials; `data.train` is their table.
        sources: of its values.
        prepared: the table, with one split; of folds all its rows.
        folds: the folds; None: one split.
        metric: by which trials are compared, without val_.
        folder: for the run folders.
        pipelines: that were fitted, by what decides them; each process has its own.
    """

    config: RunConfig
    sources: Mapping[str, str]
    prepared: Prepared
    folds: PreparedFolds | None
    metric: str
    folder: Path
    pipelines: dict[str, TextPipeline] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "pipelines": {}}

    @classmethod
    def prepare(
        cls, config: RunConfig, sources: Mapping[str, str], metric: str | None, folder: Path
    ) -> "TrialRunner":
        """Read the table and decide what it is, once for all trials."""
        folds = prepare_folds(config) if config.cross_validation.folds is not None else None
        prepared = prepare(config) if folds is None else folds.prepared
        task = prepared.schema.task
        chosen = metric or ("mae" if task == "regression" else "log_loss")
        objective = make_objective(task, "log_loss" if chosen.endswith("loss") else chosen)
        return cls(config, sources, prepared, folds, objective.name, folder)

    def on_folds(self, number: int) -> "TrialRunner":
        """The same, for trials on folds.

        Raises:
            ValueError: folds cannot be made of these rows.
        """
        config = self.config.with_changes({"cross_validation": {"folds": number}})
        return TrialRunner.prepare(config, self.sources, self.metric, self.folder)

    def on_split(self, seed: int, folder: str) -> "TrialRunner":
        """A runner for single trainings on another split of the same rows, with another seed; tracked nowhere.

        Args:
            seed: of split, weights and order.
            folder: for the run folders, beside that of the trials.
        """
        config = _settle(self.config, seed)
        place = self.folder.with_name(folder)
        return TrialRunner.prepare(config, self.sources, self.metric, place)

    def run_afresh(
        self, config: RunConfig, sources: Mapping[str, str], seconds_left: Callable[[], float]
    ) -> Outcome:
        """Train a trial, or the defaults, of the runner that this one was made from; see `on_split` and `run`."""
        config = _settle(config, self.config.training.seed)
        return self.run(config, sources, reporter=None, seconds_left=seconds_left)

    @property
    def objective(self) -> Objective:
        """The metric with its direction."""
        return make_objective(self.prepared.schema.task, self.metric)

    def prepared_of_trial(self) -> Prepared:
        """The rows of one training."""
        if self.folds is None:
            return self.prepared
        return self.folds.of(self.folds.folds[0])

    def run(
        self,
        config: RunConfig,
        sources: Mapping[str, str],
        *,
        reporter: Reporter | None,
        seconds_left: Callable[[], float],
        most_seconds: float = float("inf"),
        on_begin: Callable[[RunDir], None] = lambda run: None,
        on_progress: Callable[[TrainState], None] = lambda state: None,
    ) -> Outcome:
        """Train a configuration in a new run folder.

        Args:
            config: of the trial.
            sources: of its values.
            reporter: told the metric as it goes on.
            seconds_left: for it; at 0 it ends.
            most_seconds: that it may take; one that clearly will take longer ends at once.
            on_begin: told the folder.
            on_progress: called after each step.

        Raises:
            ValueError, RuntimeError, MemoryError: the configuration cannot be trained.
        """
        started = time.perf_counter()

        def follow(reports: Reporter | None) -> Follower:
            num_fits = 1 if self.folds is None else len(self.folds.folds)
            most = most_seconds / num_fits
            return Follower(reports, f"val_{self.metric}", seconds_left, on_progress, most)

        def body(run: RunDir, config: RunConfig, checkpoint: object) -> RunResult:
            on_begin(run)
            start_run(run, config)
            if self.folds is None:
                rows = self._rows_for(config)
                asked = pretrain_first(rows, config, run)
                pipeline = None
                if asked is config and self._is_shared(config):
                    pipeline = self.fit_pipeline(rows, config)
                return fit(rows, asked, run, pipeline=pipeline, callbacks=(follow(reporter),))
            return self._fit_folds(run, config, sources, follow, reporter)

        with warnings_only(), progress_by(ProgressLines):
            result = run_in_folder(body, "train", self._as_trial(config), sources)
        mx.clear_cache()
        seconds = time.perf_counter() - started
        ended = outcome_of(result.summary)
        value = result.metrics.get(f"val_{self.metric}")
        if ended is None and (value is None or not np.isfinite(value)):
            raise ValueError(f"{self.metric} is not defined on the validation rows of this trial")
        return Outcome(
            result.run_dir,
            None if ended else value,
            result.summary.get("fold_error"),
            seconds,
            ended,
            result.metrics,
        )

    def measure_error(self, outcome: Outcome) -> float | None:
        """Standard error of a trial's value: over folds, else over the validation rows drawn again and again."""
        if outcome.error is not None or self.folds is not None:
            return outcome.error
        kept = outcome.run.kept
        if kept is None:
            return None
        predictor = Predictor.load(kept)
        found = predictor.score(self.prepared.val)
        assert found.labels is not None
        judge = make_objective(
            self.prepared.schema.task, self.metric, predictor.pipeline.in_units
        ).judge
        return bootstrap_error(judge, found.labels, found.scores)

    def _as_trial(self, config: RunConfig) -> RunConfig:
        """What belongs to a trial whatever is tuned."""
        asked = config.cross_validation
        changes: dict[str, dict[str, Any]] = {
            "training": {"output_dir": self.folder, "report": False, "refit": False},
            "tracking": {
                "directory": config.tracking.directory or config.training.output_dir,
                "log_model": False,
            },
            "checkpoint": {
                "save_best_only": True,
                "save_minutes": 0.0,
                "enable_checkpointing": True,
            },
            "cross_validation": {
                "members": None if asked.folds is None else ("encoder",),
                "time": None,
            },
            "ensemble": {"num_models": 1},
        }
        return config.with_changes(changes)

    def _rows_for(self, config: RunConfig) -> Prepared:
        """The shared table, read as the trial says; anew only where other columns or rows are asked for."""
        if not self._is_shared(config):
            return prepare(config)
        return self._with_text(self.prepared, config)

    def _is_shared(self, config: RunConfig) -> bool:
        before, now = self.config.data, config.data
        differing = {
            name for name in type(now).model_fields if getattr(now, name) != getattr(before, name)
        }
        is_lost = now.template == "auto" != before.template  # what a known table would have
        return differing <= OF_TEXT and not is_lost and not isinstance(now.derive, dict)

    def fit_pipeline(self, rows: Prepared, config: RunConfig) -> TextPipeline:
        """How the rows that trials share become tokens; learned once for all trials that read them alike.

        Learning it takes as long as many steps do, and the same rows always give the same pipeline.
        """
        augmentation = Augmentation(**config.augmentation.model_dump())
        model = config.model
        key = repr((rows.text, model.pretrained, model.vocab_size, augmentation.templates))
        if key not in self.pipelines:
            while len(self.pipelines) >= MOST_PIPELINES:
                del self.pipelines[next(iter(self.pipelines))]
            self.pipelines[key] = fit_pipeline(rows, config)
        return self.pipelines[key].with_augmentation(augmentation)

    def _with_text(self, prepared: Prepared, config: RunConfig) -> Prepared:
        data = config.data
        named = {name: getattr(data, name) for name in OF_TEXT - {"template"}}
        template = prepared.schema.template if data.template == "auto" else data.template
        return replace(prepared, text=replace(prepared.text, **named, template=template))

    def _fit_folds(
        self,
        run: RunDir,
        config: RunConfig,
        sources: Mapping[str, str],
        follow: Callable[[Reporter | None], Follower],
        reporter: Reporter | None,
    ) -> RunResult:
        """The encoder on all folds, as `bert train --folds`; a trial that is pruned answers none."""
        assert self.folds is not None
        started = time.perf_counter()
        folds = self.folds
        if self._is_shared(config):
            folds = replace(folds, prepared=self._with_text(folds.prepared, config))
        else:
            folds = prepare_folds(config)
        run.fold_fits.mkdir(exist_ok=True)
        for repeat in range(len(folds.assignments)):
            folds.write(run.folds_file(repeat), repeat)
        watch = FoldWatch(follow, reporter, f"val_{self.metric}", folds)
        budget = Budget(None, started)
        schedule = Schedule(
            run, config, sources, folds, choose_members(config), budget, watch=watch
        )
        schedule.fit_all()
        seconds = time.perf_counter() - started
        if watch.stop_reason:
            summary = {
                "task": folds.prepared.schema.task,
                "target": folds.prepared.schema.target,
                "stop_reason": watch.stop_reason,
                "seconds": seconds,
            }
            write_json(run.summary, summary)
            return RunResult(run, {}, None, summary)
        result = conclude(run, config, folds, schedule, seconds)
        result.summary["fold_error"] = standard_error(np.array(watch.values))
        return result


def _settle(config: RunConfig, seed: int) -> RunConfig:
    """The same for one training with another seed, on another split."""
    changes: dict[str, dict[str, Any]] = {
        "training": {"seed": seed},
        "data": {"split_seed": seed},
        "tracking": {"mlflow": False},
        "cross_validation": {"folds": None},
    }
    return config.with_changes(changes)


class FoldWatch(Watch):
    """Reports the score of each fold, and ends a trial that is worse than the best one on the folds so far."""

    def __init__(
        self,
        follow: Callable[[Reporter | None], Follower],
        reporter: Reporter | None,
        metric: str,
        folds: PreparedFolds,
    ) -> None:
        """Make it; the steps of the first fold are reported too."""
        self.follow = follow
        self.reporter = reporter
        self.metric = metric
        self.order = [(fold.repeat, fold.number) for fold in folds.folds]
        self.values: list[float] = []

    def callbacks_of(self, repeat: int, fold: int) -> tuple[Follower, ...]:
        """The first fold is also pruned step by step."""
        is_first = (repeat, fold) == self.order[0]
        return (self.follow(self.reporter if is_first else None),)

    def on_fold_end(self, repeat: int, fold: int, folder: Path) -> None:
        """Report the fold; the last one ends nothing any more."""
        summary = read_record(folder).summary
        if reason := outcome_of({"stop_reason": summary.stop_reason}):
            self.stop_reason = reason
            return
        number = self.order.index((repeat, fold))
        value = summary.metrics.get(self.metric)
        if value is None:
            return
        self.values.append(value)
        if self.reporter is None:
            return
        self.reporter.report(value, FIRST_FOLD + number)
        if number + 1 < len(self.order) and self.reporter.should_prune():
            self.stop_reason = f"{PRUNED} after {number + 1} of {len(self.order)} folds"
