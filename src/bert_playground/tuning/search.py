"""Search: the run by the defaults, then one trial after another until the time or their number is up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from bert_playground.config.schema import RunConfig
from bert_playground.engines.engine import Engine
from bert_playground.files import is_storage_error
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.runs import RunDir
from bert_playground.tuning.clock import Clock
from bert_playground.tuning.defaults import DefaultsRun, train_defaults
from bert_playground.tuning.progress import TuneProgress
from bert_playground.tuning.pruning import PRUNED
from bert_playground.tuning.settings import TableFacts, configure_trial, list_defaults
from bert_playground.tuning.space import Space
from bert_playground.tuning.study import (
    DEFAULTS,
    ORIGIN,
    PROCESS,
    REASON,
    RETRIED,
    RUN,
    SECONDS,
    best_trial,
    describe_failure,
    finished_trials,
    is_default,
    name_process,
)
from bert_playground.tuning.trial import Outcome, TrialRunner
from bert_playground.tuning.trial_job import TrialJob, run_trial
from bert_playground.tuning.weights import drop_weights

ERROR = "error"
KILLED = "the process was killed"
FEW_TRIALS = 10
FAILURES = 5  # at the beginning, after which nothing better is expected


@dataclass
class Search:
    """Trials of a study.

    Attributes:
        study: of Optuna.
        runner: trains them.
        space: what is tuned.
        facts: of the table.
        clock: of this process.
        most_trials: of the study, beside the run by the defaults.
        progress: told of each.
        on_trial: called after each, to keep account of the time.
        storage: the study's address, for other processes; see `open_storage`.
    """

    study: optuna.Study
    runner: TrialRunner
    space: Space
    facts: TableFacts
    clock: Clock
    most_trials: float
    progress: TuneProgress
    on_trial: Callable[[], None] = lambda: None
    storage: str | None = None

    @property
    def defaults(self) -> dict[str, Any] | None:
        """Value, seconds and run of the defaults; None: they were not measured yet."""
        known: dict[str, Any] | None = self.study.user_attrs.get(DEFAULTS)
        return known

    def run_defaults(self, first: DefaultsRun | None = None) -> None:
        """Train as the configuration is, unless the study knows what that gives.

        Args:
            first: the same, if it was trained already.

        Raises:
            ValueError: there is not enough time even for that.
        """
        if (known := self.defaults) is not None:
            self.clock.defaults = known["seconds"]
            return
        found = first or train_defaults(self.runner, self.clock, self.progress)
        outcome = found.outcome
        if (num := self.clock.foresee_trials()) < FEW_TRIALS:
            logger.warning(
                f"one training by the defaults takes {outcome.seconds:.0f} s: after them there is time for about "
                f"{count_of(int(num), 'trial')} and a short verdict; for a search worth its name give --time 1h, or fewer --epochs"
            )
        self.learn_defaults(outcome, self.runner.measure_error(outcome), found.values)
        self.on_trial()
        self.progress.end(
            f"defaults: {self.runner.metric} {outcome.value:.4f}, {outcome.seconds:.0f} s",
            self.say_best(),
        )

    def learn_defaults(
        self, outcome: Outcome, error: float | None, values: Mapping[int, float]
    ) -> None:
        """Store what the run by the defaults gave; the sampler learns of it where the space holds it.

        Args:
            outcome: of the run, which did not end early.
            error: standard error of its value.
            values: at the parts and folds that trials report.
        """
        run, seconds = str(outcome.run.path), outcome.seconds
        params = self.space.encode(list_defaults(self.space, self.runner.config, self.facts))
        if params is not None:
            self.study.add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions=self.space.distributions,
                    value=outcome.value,
                    intermediate_values=dict(values),
                    user_attrs={ORIGIN: DEFAULTS, RUN: run, SECONDS: seconds},
                )
            )
        known = {"value": outcome.value, "error": error, "seconds": seconds, "run": run}
        self.study.set_user_attr(DEFAULTS, {**known, "metrics": outcome.metrics})

    def enqueue(self, starts: Sequence[Mapping[str, Any]], origin: str) -> None:
        """Try these parameters first; the origin says why."""
        for params in starts:
            self.study.enqueue_trial(dict(params), user_attrs={ORIGIN: origin}, skip_if_exists=True)

    def run_trials(self, engine: Engine) -> None:
        """Trials until the time or their number is up.

        Args:
            engine: where they run, side by side if it has several workers.

        Raises:
            ValueError: the first trials all failed.
            KeyboardInterrupt: Ctrl-C; the trial that ran is tried again when the study goes on.
        """
        self._learn_pace()
        if not engine.is_in_process:
            self._run_side_by_side(engine)
            return
        while self._goes_on:
            self._run_trial()
            self._conclude_trial()

    @property
    def _goes_on(self) -> bool:
        return self.count() < self.most_trials and self.clock.has_time_for_trial

    def _conclude_trial(self) -> None:
        self.on_trial()
        self._keep_best_only()
        tried = [trial for trial in finished_trials(self.study) if not is_default(trial)]
        if len(tried) == FAILURES and all(each.state == TrialState.FAIL for each in tried):
            reasons = {str(each.user_attrs.get(REASON)) for each in tried}
            raise ValueError(
                f"the first {FAILURES} trials all failed: {'; '.join(sorted(reasons))}; mend the space, and start a new study"
            )

    def _run_side_by_side(self, engine: Engine) -> None:
        """Trials in other processes; each is drawn when there is room for it, so that the sampler knows all that ended."""
        running: dict[int, optuna.Trial] = {}
        try:
            with closing(engine.run(run_trial, self._draw_jobs(running))) as done:
                for job, ended in done:
                    trial = running.pop(job.number)
                    if ended.outcome is None:
                        self._give_up(trial, str(ended.failure))
                    else:
                        self._take_note(trial, ended.outcome)
                    self._conclude_trial()
        except (KeyboardInterrupt, OSError, ValueError):
            for trial in running.values():
                self._give_up(trial, "stopped before its end", is_retried=True)
            raise

    def _draw_jobs(self, running: dict[int, optuna.Trial]) -> Iterator[TrialJob]:
        while self._goes_on:
            trial = self.study.ask()
            self.progress.begin(f"trial {trial.number}")
            try:
                config, sources = self._configure_new(trial)
            except ValueError as error:
                self._give_up(trial, describe_failure(error))
                self._conclude_trial()
                continue
            running[trial.number] = trial
            yield TrialJob(
                trial.number,
                trial._trial_id,
                self.study.study_name,
                self.storage,
                self.runner.folder.parent,
                self.runner,
                config,
                sources,
                self.clock.search_left,
                self.clock.most_of_trial,
            )

    def _configure_new(self, trial: optuna.Trial) -> tuple[RunConfig, dict[str, str]]:
        """What to train, and where its values came from."""
        values = self.space.suggest(trial)
        config = configure_trial(self.runner.config, self.space, values, self.facts)
        seed = self.runner.config.training.seed + 1 + trial.number
        return config.with_changes({"training": {"seed": seed}}), self.sources_of(list(values))

    def count(self) -> int:
        """Trials so far, those of other processes included; killed ones are tried again and do not count."""
        return sum(
            trial.state != TrialState.WAITING
            and trial.user_attrs.get(REASON) != KILLED
            and not is_default(trial)
            for trial in self.study.get_trials(deepcopy=False)
        )

    def say_best(self) -> str:
        """Best so far with its error."""
        value, error = self.best_value()
        if value is None:
            return "nothing is complete yet"
        spread = "" if error is None else f" ± {error:.4f}"
        return f"best {self.runner.metric} {value:.4f}{spread}"

    def best_value(self) -> tuple[float | None, float | None]:
        """Of the best trial or the defaults, with its error."""
        best, known = best_trial(self.study), self.defaults
        if best is not None and self.is_better(best.value, known):
            return best.value, best.user_attrs.get(ERROR)
        return (None, None) if known is None else (known["value"], known["error"])

    def is_better(self, value: float | None, known: Mapping[str, Any] | None) -> bool:
        """Whether a value is better than that of the defaults."""
        if value is None or known is None:
            return value is not None
        return bool(self.sign * value > self.sign * known["value"])

    @property
    def sign(self) -> float:
        """By which values are multiplied so that more is better."""
        return 1.0 if self.runner.objective.higher_is_better else -1.0

    def configured(self, trial: FrozenTrial | None) -> tuple[RunConfig, Mapping[str, str]]:
        """The configuration of a trial and where its values came from; None: of the defaults."""
        if trial is None:
            return self.runner.config, self.runner.sources
        values = self.space.decode(trial.params)
        config = configure_trial(self.runner.config, self.space, values, self.facts)
        return config, self.sources_of(list(trial.params))

    def sources_of(self, paths: Sequence[str]) -> dict[str, str]:
        """Where each value of a trial came from."""
        return {**self.runner.sources, **dict.fromkeys(paths, "tune")}

    def _learn_pace(self) -> None:
        self.clock.taken = [
            float(trial.user_attrs[SECONDS])
            for trial in finished_trials(self.study)
            if SECONDS in trial.user_attrs and not is_default(trial)
        ]
        best = best_trial(self.study)
        if best is not None and self.is_better(best.value, self.defaults):
            self.clock.best = best.user_attrs.get(SECONDS)

    def _run_trial(self) -> None:
        trial = self.study.ask()
        trial.set_user_attr(PROCESS, name_process())
        self.progress.begin(f"trial {trial.number}")
        try:
            config, sources = self._configure_new(trial)
            outcome = self.runner.run(
                config,
                sources,
                reporter=trial,
                seconds_left=lambda: self.clock.search_left,
                most_seconds=self.clock.most_of_trial,
                on_begin=lambda run: trial.set_user_attr(RUN, str(run.path)),
                on_progress=self.progress.step,
            )
        except KeyboardInterrupt:
            self._give_up(trial, "stopped by a signal", is_retried=True)
            raise
        # Whatever a configuration dies of, the others go on; a full disk ends them all.
        except Exception as error:
            if is_storage_error(error):
                self._give_up(trial, str(error), is_retried=True)
                raise
            self._give_up(trial, describe_failure(error))
            return
        self._take_note(trial, outcome)

    def _give_up(self, trial: optuna.Trial, reason: str, *, is_retried: bool = False) -> None:
        trial.set_user_attr(REASON, reason)
        # A folder that had nothing to keep is gone, and the next trial may get its name.
        if (run := trial.user_attrs.get(RUN)) and not Path(run).is_dir():
            trial.set_user_attr(RUN, None)
        self.study.tell(trial, state=TrialState.FAIL)
        if is_retried:
            self.study.enqueue_trial(trial.params, user_attrs={RETRIED: True})
        logger.debug(f"trial {trial.number} failed: {reason}")
        first = reason.partition("\n")[0]
        self.progress.end(f"trial {trial.number} failed: {first}", self.say_best())

    def _take_note(self, trial: optuna.Trial, outcome: Outcome) -> None:
        trial.set_user_attr(SECONDS, outcome.seconds)
        self.clock.taken.append(outcome.seconds)
        if outcome.ended is not None:
            trial.set_user_attr(REASON, outcome.ended)
            if not outcome.ended.startswith(PRUNED):
                self.clock.taken.pop()
            self.study.tell(trial, state=TrialState.PRUNED)
            said = f"trial {trial.number}: {outcome.ended}"
        else:
            assert outcome.value is not None
            trial.set_user_attr("metrics", outcome.metrics)
            value, _ = self.best_value()
            if value is None or self.is_better(outcome.value, {"value": value}):
                trial.set_user_attr(ERROR, self.runner.measure_error(outcome))
                self.clock.best = outcome.seconds
            self.study.tell(trial, outcome.value)
            said = f"trial {trial.number}: {self.runner.metric} {outcome.value:.4f}"
        self.progress.end(f"{said}, {outcome.seconds:.0f} s", self.say_best())

    def _keep_best_only(self) -> None:
        best, known = best_trial(self.study), self.defaults
        if known is not None and best is not None and self.is_better(best.value, known):
            drop_weights(RunDir(Path(known["run"])))
        for trial in finished_trials(self.study):
            run = None if is_default(trial) else trial.user_attrs.get(RUN)
            if best is not None and trial.number != best.number and run is not None:
                drop_weights(RunDir(Path(run)))


def describe_trials(search: Search) -> str:
    """How many trials ended in which way."""
    tried = [trial for trial in finished_trials(search.study) if not is_default(trial)]
    states = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    counts = {word: sum(each.state == state for each in tried) for word, state in states.items()}
    parts = [f"{number} {word}" for word, number in counts.items() if number]
    return f"{count_of(len(tried), 'trial')} ({', '.join(parts) or 'none'})"
