"""list_runs: the runs of a folder and what became of each; filters, order, and which runs a name means."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bert_playground.lookup import expand_home, expand_pattern, name_neighbours, nearest, shorten
from bert_playground.run_lock import is_running
from bert_playground.run_record import RunRecord, read_record
from bert_playground.runs import ENSEMBLE_NAME, RunDir

LATEST = "latest"
STATUSES = ("complete", "running", "stopped", "broken")
# Metrics of which less is better; all others: more is.
LOWER_IS_BETTER = frozenset({"loss", "log_loss", "ece", "rmse", "mae", "rmsle"})
FACTS = ("seconds", "epochs", "steps", "train_rows", "val_rows", "parameters", "rows_per_second")
STAMP = re.compile(r"run_(\d{8}_\d{6})(?:_\d+)?$")
CONDITION = re.compile(r"^\s*([\w.]+)\s*(>=|<=|!=|==|=|>|<)\s*(.+?)\s*$")


@dataclass(frozen=True)
class RunEntry:
    """A run folder in a list.

    Attributes:
        run: the folder.
        status: a name in STATUSES.
        record: what it wrote down; None: it cannot be read.
        fault: why it cannot be read.
        metrics: of the best evaluation, else of the last one so far; names start with val_.
    """

    run: RunDir
    status: str
    record: RunRecord | None = None
    fault: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.run.path.name

    @property
    def began(self) -> datetime:
        """By the folder's name, else when it was last changed."""
        stamp = STAMP.search(self.name)
        if stamp:
            return datetime.strptime(stamp[1], "%Y%m%d_%H%M%S")
        return datetime.fromtimestamp(self.run.path.stat().st_mtime)

    @property
    def kind(self) -> str:
        """What was done: "train", "folds", "ensemble", "pretrain" or "tune"; "" where nobody knows."""
        if self.record is None:
            return ""
        if self.record.settings.command in ("pretrain", "tune"):
            return self.record.settings.command
        if self.record.setting("cross_validation.folds") is not None:
            return "folds"
        is_ensemble = self.record.members or (self.record.setting("ensemble.num_models") or 1) > 1
        return "ensemble" if is_ensemble else "train"

    @property
    def model(self) -> str:
        """The checkpoint that was fine-tuned, else the architecture."""
        if self.record is None:
            return ""
        pretrained = self.record.setting("model.pretrained")
        return str(pretrained or self.record.setting("model.architecture") or "")

    def value(self, name: str) -> Any:
        """A metric with or without val_, a fact such as seconds, or a setting by its path; None: the run has none."""
        for metric in (name, f"val_{name}"):
            if metric in self.metrics:
                return self.metrics[metric]
        if self.record is None:
            return None
        if name in FACTS:
            return getattr(self.record.summary, name)
        if name in ("task", "target"):
            return getattr(self.record.summary, name) or self.record.setting(f"data.{name}")
        return {"status": self.status, "kind": self.kind, "model": self.model}.get(
            name, self.record.setting(name)
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "run": str(self.run.path),
            "status": self.status,
            "kind": self.kind or None,
            "began": self.began.isoformat(sep=" "),
            "task": self.value("task"),
            "target": self.value("target"),
            "model": self.model or None,
            "monitor": None if self.record is None else self.record.summary.monitor,
            "metrics": self.metrics,
            "seconds": self.value("seconds"),
            "report": str(self.run.report_path) if self.run.report_path.is_file() else None,
            "fault": self.fault,
        }


class Condition(NamedTuple):
    """A filter such as val_accuracy>0.8."""

    name: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read one.

        Raises:
            ValueError: it is no comparison.
        """
        found = CONDITION.match(text)
        if found is None:
            raise ValueError(
                f"{text!r} is no condition, expected a name, one of = != > >= < <=, and a value, such as "
                '"val_accuracy>0.8" or "optimizer.learning_rate=3e-5"'
            )
        return cls(found[1], "=" if found[2] == "==" else found[2], found[3].strip("'\""))

    def holds(self, entry: RunEntry) -> bool:
        """Whether it is true of a run; of one that has no such value it is not."""
        value = entry.value(self.name)
        if value is None:
            return False
        asked = _number(self.value)
        mine = None if isinstance(value, bool) else _number(value)
        if asked is None or mine is None:
            same = str(value).lower() == self.value.lower()
            if self.operator not in ("=", "!="):
                raise ValueError(
                    f"{self.name} is {value!r} in {entry.name}, which {self.operator}{self.value} cannot compare; use = or !="
                )
            return same if self.operator == "=" else not same
        return {
            "=": mine == asked,
            "!=": mine != asked,
            ">": mine > asked,
            ">=": mine >= asked,
            "<": mine < asked,
            "<=": mine <= asked,
        }[self.operator]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def list_runs(folder: Path) -> list[RunEntry]:
    """The runs that lie in a folder, the newest first; what cannot be read is listed as broken.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no folder {folder}{name_neighbours(folder)}; `bert train` makes it, or name another with --output-dir"
        )
    found = [read_entry(path) for path in folder.iterdir() if _looks_like_run(path)]
    return sorted(found, key=lambda entry: (entry.began, entry.name), reverse=True)


def _looks_like_run(path: Path) -> bool:
    if not path.is_dir() or path.name.startswith("."):
        return False
    run = RunDir(path)
    is_whole = run.config.is_file() and run.environment.is_file()
    return bool(STAMP.match(path.name)) or is_whole or run.summary.is_file()


def read_entry(path: Path) -> RunEntry:
    """What became of a run; never an error."""
    run = RunDir(path)
    try:
        record = read_record(path)
        last = record.evaluations[-1].metrics if record.evaluations else {}
        is_complete = record.run.summary.is_file() or _is_whole_ensemble(record)
    except (OSError, ValueError) as error:
        # One that has just begun has not written its files yet.
        return RunEntry(run, "running" if is_running(run) else "broken", None, str(error))
    status = "running" if is_running(run) else "complete" if is_complete else "stopped"
    return RunEntry(run, status, record, None, record.summary.metrics or last)


def _is_whole_ensemble(record: RunRecord) -> bool:
    """Whether all members are there: those of models of one's own answer together without a summary."""
    asked = record.setting("ensemble.num_models") or 1
    has_manifest = (record.run.path / ENSEMBLE_NAME).is_file()
    return has_manifest and len(record.members) >= asked


def choose(
    entries: Sequence[RunEntry],
    *,
    where: Iterable[str] = (),
    task: str | None = None,
    model: str | None = None,
    status: str | None = None,
) -> list[RunEntry]:
    """The runs that fit all that is asked.

    Args:
        entries: to choose from.
        where: conditions; see `Condition`.
        task: a name in TASKS.
        model: a part of the model's name.
        status: a name in STATUSES.

    Raises:
        ValueError: a faulty condition, or a name that no run has.
    """
    conditions = [Condition.parse(text) for text in where]
    for condition in conditions:
        _require_name(entries, condition.name)
    if status is not None and status not in STATUSES:
        raise ValueError(
            f"unknown status {status!r}{nearest(status, STATUSES)} (known: {', '.join(STATUSES)})"
        )
    return [
        entry
        for entry in entries
        if (task is None or entry.value("task") == task)
        and (model is None or model.lower() in entry.model.lower())
        and (status is None or entry.status == status)
        and all(condition.holds(entry) for condition in conditions)
    ]


def sort_by(entries: Sequence[RunEntry], name: str) -> list[RunEntry]:
    """By a metric the best first, by anything else the largest first; runs without it stand last.

    Raises:
        ValueError: no run has it.
    """
    _require_name(entries, name)
    sign = 1 if name.removeprefix("val_") in LOWER_IS_BETTER else -1

    def key(entry: RunEntry) -> tuple[bool, float, str]:
        value = entry.value(name)
        number = _number(value)
        return (value is None, 0.0 if number is None else sign * number, str(value))

    return sorted(entries, key=key)


def _require_name(entries: Sequence[RunEntry], name: str) -> None:
    if not entries or any(entry.value(name) is not None for entry in entries):
        return
    metrics = {metric for entry in entries for metric in entry.metrics}
    known = sorted({*metrics, *FACTS, "task", "target", "model", "status", "kind"})
    raise ValueError(
        f"no run has {name!r}{nearest(name, known)} (they have {shorten(known)}, and settings such as "
        "optimizer.learning_rate)"
    )


def find_runs(name: str, folder: Path) -> list[RunDir]:
    """The runs that a name means: `latest`, a path, the name of a run in the folder, or a pattern of either.

    Raises:
        FileNotFoundError: there is none.
    """
    if name == LATEST and not Path(name).exists():
        entries = [entry for entry in list_runs(folder) if entry.status != "broken"]
        if not entries:
            raise FileNotFoundError(f"no run in {folder}; `bert train` makes one")
        return [entries[0].run]
    for path in (expand_home(name), folder / name):
        found = [each for each in expand_pattern(path) if each.is_dir()]
        if found:
            return [
                RunDir.of_checkpoint(each) if _is_inside(each) else RunDir(each) for each in found
            ]
    raise FileNotFoundError(
        f"no run {name!r}{name_neighbours(folder / name) if folder.is_dir() else ''}; `bert runs list` shows those of {folder}"
    )


def _is_inside(path: Path) -> bool:
    """Whether a path is that of a checkpoint of a run."""
    return path.parent.name == "checkpoints"


def find_run(name: str, folder: Path) -> RunDir:
    """The one run that a name means.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are several.
    """
    found = find_runs(name, folder)
    if len(found) > 1:
        listed = shorten((str(run.path) for run in found), 6)
        raise ValueError(
            f"{name!r} means {len(found)} runs: {listed}; name one of them, or {LATEST}"
        )
    return found[0]
