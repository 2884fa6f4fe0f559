"""Schedule: which model of which fold is fitted when, what became of each, and what there was no time for."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare.folds import Fold, PreparedFolds
from bert_playground.engines.engine import Engine
from bert_playground.engines.local_processes import LocalProcesses
from bert_playground.extras import install_command
from bert_playground.logger import logger
from bert_playground.runs import RunDir
from bert_playground.tabular.estimators import ESTIMATORS
from bert_playground.training.callbacks.progress import show_fits
from bert_playground.training.core import Callback
from bert_playground.training.cross_validation.budget import Budget
from bert_playground.training.cross_validation.encoder_settings import settings_of_fold
from bert_playground.training.cross_validation.fold_fit import Fitted, FoldFit, fit_on_fold
from bert_playground.training.cross_validation.members import Member
from bert_playground.training.pretrain_first import pretrain_first
from bert_playground.training.track_run import track_fold

LEAST_SECONDS = 2.0  # in which a fold of an encoder learns anything
Tuner = Callable[["Schedule", Member], list[dict[str, Any]]]


class Watch:
    """Who follows the folds one by one, and may end them early.

    Attributes:
        stop_reason: why no further fold is fitted; empty: all are.
    """

    stop_reason: str = ""

    def callbacks_of(self, repeat: int, fold: int) -> tuple[Callback, ...]:
        """For the training of an encoder on this fold."""
        return ()

    def on_fold_end(self, repeat: int, fold: int, folder: Path) -> None:
        """After a fold was fitted; `folder` has its summary."""


@dataclass
class Schedule:
    """The models of all folds.

    Attributes:
        run: that they belong to.
        config: of the run.
        sources: of the configuration's values.
        folds: the rows.
        members: to fit.
        budget: for all of them.
        failures: member → why it could not be fitted; it is left out of the blend.
        skipped: member → what there was no time for.
        fitted: member → the seconds that each of its models took.
        watch: who follows the folds; None: nobody.
        engine: where they are fitted.
        tune: tries settings for a member in the time that is left, puts its models into their folders or says in `skipped`
            why there are none, and tells each trial; None: nobody does.
        begun: member → seconds from the start to its first model, in this order.
        trials: what `tune` told.
    """

    run: RunDir
    config: RunConfig
    sources: Mapping[str, str]
    folds: PreparedFolds
    members: tuple[Member, ...]
    budget: Budget
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    fitted: dict[str, list[float]] = field(default_factory=dict)
    watch: Watch | None = None
    engine: Engine = field(default_factory=lambda: LocalProcesses(1))
    tune: Tuner | None = None
    begun: dict[str, float] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)

    def fit_all(self) -> None:
        """All members on all folds: those beside the encoder first, as they are cheap; repeat after repeat; the tuned one last.

        Raises:
            ValueError: no member could be fitted on all folds.
        """
        num_left = 0
        for member in self.members:
            if member.is_tuned:
                continue
            for fold in self.folds.folds:
                if self._is_done(member, fold):  # of an earlier part of the run
                    self._track(member.name, fold.repeat, fold.number)
                else:
                    num_left += 1
        with show_fits(num_left) as tell:
            for jobs in (self._jobs(), self._jobs_of_pupils()):
                with closing(self.engine.run(fit_on_fold, jobs)) as done:
                    for job, fitted in done:
                        self._take_note(job, fitted, tell)
        if self.is_ended_early:
            return
        if not self.complete():
            reasons = "; ".join(f"{name}: {why}" for name, why in self.failures.items())
            raise ValueError(
                f"no member could be fitted on all folds: {reasons or 'no time was left'}"
            )
        self._tune()

    def _tune(self) -> None:
        for member in self.members:
            if not member.is_tuned or member.name in self.complete():
                continue
            if self.tune is None:
                why = f"settings are tried by bert train with Optuna; install: {install_command('hpo')}"
                self.skipped[member.name] = why
                continue
            self._note_begin(member)
            started = time.perf_counter()
            self.trials = self.tune(self, member)
            self.fitted[member.name] = [time.perf_counter() - started]

    def _note_begin(self, member: Member) -> None:
        self.begun.setdefault(member.name, time.perf_counter() - self.budget.started)

    @property
    def is_ended_early(self) -> bool:
        """Whether who follows the folds has seen enough."""
        return self.watch is not None and bool(self.watch.stop_reason)

    def complete(self) -> dict[str, list[Fold]]:
        """Member → the folds that it answers: all of the first repeat, and further repeats as far as there was time."""
        found = {}
        for member in self.members:
            folds = [fold for fold in self.folds.folds if self._is_done(member, fold)]
            whole = [
                repeat
                for repeat in range(len(self.folds.assignments))
                if self._of_repeat(repeat) == [fold for fold in folds if fold.repeat == repeat]
            ]
            if whole and member.name not in self.failures:
                found[member.name] = [fold for fold in folds if fold.repeat in whole]
        return found

    def _of_repeat(self, repeat: int) -> list[Fold]:
        return [fold for fold in self.folds.folds if fold.repeat == repeat]

    def _is_done(self, member: Member, fold: Fold) -> bool:
        return (self.run.fold_fit(fold.repeat, fold.number, member.name) / "summary.json").is_file()

    def configure(self, member: Member) -> RunConfig | None:
        """The configuration of a member's models; an encoder that is pretrained first is pretrained now."""
        config = member.configure(self.config, self.config.training.seed)
        if not member.is_encoder or config.model.pretrain == "off":
            return config
        # Columns that the labels choose would tell the pretrained encoder of rows that it shall answer.
        blind: dict[str, Any] = {"derive": "off", "column_order": "table"}
        limit = {"max_time": self._share_of_pretraining(member)}
        blinded = config.with_changes({"data": blind, "training": limit})
        table = self.folds.table
        rows = replace(
            self.folds.prepared,
            train=table,
            val=table.head(0),
            text=replace(self.folds.prepared.text, **blind),
        )
        try:
            pretrained = pretrain_first(rows, blinded, self.run)
        except ValueError as error:
            self._fail(member, str(error))
            return None
        return config.model_copy(update={"model": pretrained.model})

    @property
    def num_processes(self) -> int:
        """That fit side by side."""
        return self.engine.num_workers

    def _share_of_pretraining(self, member: Member) -> float | None:
        """Seconds: a third of what the member may take; None: as long as it likes."""
        share = self._share(member, 1)
        return self.config.training.max_time if share is None else max(share / 3, LEAST_SECONDS)

    def _jobs(self) -> Iterator[FoldFit]:
        """One by one, so that each is told how much time is left."""
        own = [each for each in self.members if each.teacher is None and not each.is_tuned]
        for repeat in range(len(self.folds.assignments)):
            for member in sorted(own, key=lambda each: each.is_encoder):
                yield from self._jobs_of(member, repeat)

    def _jobs_of_pupils(self) -> Iterator[FoldFit]:
        """Of members that learn from another's answers, which have all been fitted: side by side they would be begun too soon."""
        for repeat in range(len(self.folds.assignments)):
            for member in self.members:
                if member.teacher is not None and self._has_teacher(member, repeat):
                    yield from self._jobs_of(member, repeat)

    def _has_teacher(self, member: Member, repeat: int) -> bool:
        teacher = next(each for each in self.members if each.name == member.teacher)
        if all(self._is_done(teacher, fold) for fold in self._of_repeat(repeat)):
            return True
        self._skip(member, f"{teacher.name}, whose answers it learns from, has not all folds")
        return False

    def _jobs_of(self, member: Member, repeat: int) -> Iterator[FoldFit]:
        folds = [fold for fold in self._of_repeat(repeat) if not self._is_done(member, fold)]
        if not folds or member.name in self.failures:
            return
        config = self.configure(member)
        if config is None:
            return
        for place, fold in enumerate(folds):
            num_left = len(folds) - place
            is_over = member.name in self.failures or self.is_ended_early
            if is_over or not self._has_time(member, num_left):
                return
            yield self._make_job(member, config, fold, num_left)

    def _has_time(self, member: Member, num_fits: int) -> bool:
        share = self._share(member, num_fits)
        if share is None or share >= self._need(member):
            return True
        if self.fitted.get(member.name) and self._may_finish(member, num_fits):
            return True  # its other folds would be for nothing
        self._skip(member, f"there was no time for {num_fits} of its folds")
        return False

    def _skip(self, member: Member, why: str) -> None:
        if member.name not in self.skipped:
            self.skipped[member.name] = why
            logger.warning(f"{member.name} is left out: {why}")

    def _may_finish(self, member: Member, num_fits: int) -> bool:
        rounds = -(-num_fits // self.num_processes)
        return self.budget.lets_finish(rounds * self._need(member))

    def _need(self, member: Member) -> float:
        """Seconds of one more fold: who can stop makes do with any, another model takes what its folds took so far."""
        if member.is_encoder or ESTIMATORS[member.name].can_stop:
            return LEAST_SECONDS
        taken = self.fitted.get(member.name, [])
        return sum(taken) / len(taken) if taken else 0.0

    def _share(self, member: Member, num_fits: int) -> float | None:
        """Seconds that one more fold of a member may take; None: as long as it likes."""
        if member.is_encoder:
            later = self.members[self.members.index(member) + 1 :]
            others_wait = any(other.is_encoder and not other.is_tuned for other in later)
        else:
            others_wait = any(other.is_encoder for other in self.members)
        return self.budget.share(num_fits, self.num_processes, others_wait=others_wait)

    def _make_job(self, member: Member, config: RunConfig, fold: Fold, num_fits: int) -> FoldFit:
        self._note_begin(member)
        if member.is_encoder:
            config = settings_of_fold(config, self._share(member, num_fits))
        seeded = {"seed": config.training.seed + fold.repeat}
        rows: dict[str, Any] = {}
        if (path := self.run.folds_file(fold.repeat)).is_file():
            # What reads the run later, to calibrate or to export, finds the rows that the model has not seen.
            rows = {"folds": path, "fold": fold.number}
        config = config.with_changes({"training": seeded, "data": rows})
        return FoldFit(
            member,
            fold.repeat,
            fold.number,
            self.run.fold_fit(fold.repeat, fold.number, member.name),
            config,
            self.folds.of(fold),
            dict(self.sources),
            None
            if member.teacher is None
            else self.run.fold_fit(fold.repeat, fold.number, member.teacher),
            self.engine.num_threads,
            None if member.is_encoder else self._share(member, num_fits),
            is_first=fold is self.folds.folds[0] and self._is_first_encoder(member),
            callbacks=()
            if self.watch is None
            else self.watch.callbacks_of(fold.repeat, fold.number),
        )

    def _is_first_encoder(self, member: Member) -> bool:
        return member == next((each for each in self.members if each.is_encoder), None)

    def _take_note(self, job: FoldFit, fitted: Fitted, tell: Callable[[str], None]) -> None:
        name, where = job.member.name, _name_fold(job, self.folds)
        self.fitted.setdefault(name, []).append(fitted.seconds)
        if fitted.error is not None:
            tell(f"{name}, {where}: failed")
            self._fail(job.member, fitted.error)
            return
        tell(f"{name}, {where}: {fitted.seconds:.1f} s")
        self._track(name, job.repeat, job.fold)
        if self.watch is not None:
            self.watch.on_fold_end(job.repeat, job.fold, job.folder)

    def _track(self, name: str, repeat: int, fold: int) -> None:
        seed = self.config.training.seed + repeat
        params = {"member": name, "repeat": repeat, "fold": fold, "seed": seed}
        what = f"{name}, fold {fold}" + (f", repeat {repeat}" if repeat else "")
        track_fold(self.run.fold_fit(repeat, fold, name), what, params)

    def _fail(self, member: Member, why: str) -> None:
        if member.name not in self.failures:
            self.failures[member.name] = why
            logger.warning(f"{member.name} could not be fitted, and is left out: {why}")

    def told(self) -> dict[str, Any]:
        """For the summary."""
        seconds = {name: sum(taken) for name, taken in self.fitted.items()}
        order = [
            {"member": name, "begun": begun, "seconds": seconds.get(name, 0.0)}
            for name, begun in self.begun.items()
        ]
        return {
            "failures": self.failures,
            "skipped": self.skipped,
            "member_seconds": seconds,
            "order": order,
            "trials": self.trials,
        }


def _name_fold(job: FoldFit, folds: PreparedFolds) -> str:
    numbers = sorted({fold.number for fold in folds.folds})
    repeat = f" of repeat {job.repeat + 1}" if len(folds.assignments) > 1 else ""
    return f"fold {numbers.index(job.fold) + 1} of {len(numbers)}{repeat}"
