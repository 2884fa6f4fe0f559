"""RunRecord: what a run wrote down, read back: its config, environment, summary and metrics as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bert_playground.documents import parse_json
from bert_playground.runs import RunDir


class Document(BaseModel):
    """A JSON object that any version wrote: what it lacks has a default, what this version does not know is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Settings(Document):
    """config.json.

    Attributes:
        command: of `bert` that began the run.
        ranks: processes that it began with, each of which took `training.batch_size` rows of a step.
        values: of the configuration, by section; {}: the file is no run's, but that of a checkpoint.
        sources: for each dotted path where its value came from.
    """

    command: str = "train"
    ranks: int = 1
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}


class Environment(Document):
    """environment.json: what the run was computed with; None or {}: not written down."""

    seed: int | None = None
    python: str | None = None
    platform: str | None = None
    device: str | None = None
    computed_by: str | None = None
    cpu_cores: int | None = None
    git_commit: str | None = None
    command: tuple[str, ...] = ()
    versions: dict[str, str | None] = {}


class Member(Document):
    """One model of an ensemble, in its summary.

    Attributes:
        what: is particular to it, in words.
        checkpoint: its folder, where the ensemble was trained.
        metrics: on the validation rows.
        seconds: of training.
    """

    what: str
    checkpoint: str = ""
    metrics: dict[str, float] = {}
    seconds: float | None = None


class Summary(Document):
    """summary.json of a training run, a pretraining run or an ensemble; None: not measured in such a run.

    Attributes:
        monitor: the metric that decided which epoch is best.
        metrics: of the best evaluation; names start with val_.
        last_metrics: of the last one.
        baseline: the same of the best constant answer.
        members: of an ensemble.
        disagreement: of the members.
        blend: of a run over folds: metric, score and standard_error of what answers for all, out of fold.
    """

    task: str | None = None
    target: str | None = None
    monitor: str | None = None
    mode: str | None = None
    metrics: dict[str, float] = {}
    last_metrics: dict[str, float] = {}
    baseline: dict[str, float] = {}
    hint: str | None = None
    best_epoch: int | None = None
    best_step: int | None = None
    epochs: int | None = None
    steps: int | None = None
    stop_reason: str | None = None
    skipped_steps: int = 0
    train_rows: int | None = None
    val_rows: int | None = None
    parameters: int | None = None
    trained_parameters: int | None = None
    precision: str | None = None
    seconds: float | None = None
    rows_per_second: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    strategy: str | None = None
    members: tuple[Member, ...] = ()
    disagreement: dict[str, float | None] = {}
    blend: dict[str, Any] = {}
    files: dict[str, str] = {}


# What the numbers of `Summary.disagreement` say.
DISAGREEMENTS = {
    "different_labels": "two models give another answer in {:.1%} of the cases on average",
    "error_correlation": "the errors of two models have a correlation of {:.3f} on average; at 1 a mean gains nothing",
}


class StepRow(Document):
    """A line of metrics.jsonl about training: the means since the last such line."""

    kind: Literal["train"]
    step: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float
    rows_per_second: float
    tokens_per_second: float
    seconds: float


class EvaluationRow(Document):
    """A line of metrics.jsonl about the validation rows; the names of metrics start with val_."""

    kind: Literal["evaluation"]
    step: int
    epoch: int
    train_loss: float
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class RunRecord:
    """A run folder as it was when it was read; a run that is underway, or was broken off, has less.

    Attributes:
        run: the folder.
        settings: what it ran with.
        environment: what it was computed with.
        summary: of the whole run; empty until it ends.
    """

    run: RunDir
    settings: Settings
    environment: Environment
    summary: Summary

    def setting(self, path: str) -> Any:
        """The value of the configuration at a dotted path, such as model.pretrained; None where there is none."""
        section, _, key = path.partition(".")
        return self.settings.values.get(section, {}).get(key)

    @cached_property
    def steps(self) -> tuple[StepRow, ...]:
        """The training lines of metrics.jsonl."""
        return tuple(row for row in self._history if isinstance(row, StepRow))

    @cached_property
    def evaluations(self) -> tuple[EvaluationRow, ...]:
        """The evaluations in metrics.jsonl."""
        return tuple(row for row in self._history if isinstance(row, EvaluationRow))

    @cached_property
    def _history(self) -> list[StepRow | EvaluationRow]:
        return _read_history(self.run.metrics)

    @cached_property
    def members(self) -> tuple["RunRecord", ...]:
        """The runs of the members of an ensemble, in the order in which they were trained; () for a single model."""
        return tuple(map(_read, self.run.members()))

    def metrics_of(self, checkpoint: Path) -> dict[str, float]:
        """The metrics of one checkpoint of this run and no other, on the validation rows; {} where none were measured."""
        name = checkpoint.resolve().name
        measured = {"best": self.summary.metrics, "final": self.summary.last_metrics}
        if found := measured.get(name):
            return found
        step = name.removeprefix("step_")
        if not step.isdigit():
            return {}
        at_step = [row.metrics for row in self.evaluations if row.step == int(step)]
        return {name: value for metrics in at_step for name, value in metrics.items()}


def read_record(folder: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        FileNotFoundError: the folder is not there, or is no run's.
        ValueError: one of its files is damaged.
    """
    record = _read(RunDir(folder))
    if not (record.settings.values or record.run.environment.is_file() or record.run.members()):
        raise FileNotFoundError(
            f"{folder} is no run folder: expected one with config.json and environment.json, such as output/run_…"
        )
    return record


def find_record(checkpoint: Path) -> RunRecord | None:
    """What the run that a checkpoint lies in wrote down; None for a folder that lies in no run.

    Raises:
        ValueError: one of the run's files is damaged.
    """
    run = RunDir.of_checkpoint(checkpoint)
    lies_alone = run.path == checkpoint.resolve() or not run.environment.is_file()
    return None if lies_alone else _read(run)


def _read(run: RunDir) -> RunRecord:
    return RunRecord(
        run,
        _read_document(run.config, Settings),
        _read_document(run.environment, Environment),
        _read_document(run.summary, Summary),
    )


Kind = TypeVar("Kind", bound=Document)


def _read_document(path: Path, kind: type[Kind]) -> Kind:
    values = _parse(path, path.read_bytes()) if path.is_file() else {}
    return _validate(path, kind, values)


def read_settings(run: RunDir) -> Settings:
    """What was asked for in a run, from its config.json.

    Raises:
        ValueError: the file is damaged, or not a run's.
    """
    settings = _validate(run.config, Settings, _parse(run.config, run.config.read_bytes()))
    if not settings.values:
        raise ValueError(
            f"{run.config} has no values of a configuration: it is no run's; copy the run again"
        )
    return settings


def _read_history(path: Path) -> list[StepRow | EvaluationRow]:
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    if lines and not lines[-1].endswith(b"\n"):  # a run that is underway, or was killed, at a line
        lines.pop()
    rows: list[StepRow | EvaluationRow] = []
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number},"
        values = _parse(where, line)
        if values.get("kind") == "evaluation":
            metrics = {name: value for name, value in values.items() if name.startswith("val_")}
            rows.append(_validate(where, EvaluationRow, values | {"metrics": metrics}))
        else:
            rows.append(_validate(where, StepRow, values))
    return rows


def _parse(where: Path | str, text: bytes) -> dict[str, Any]:
    values: dict[str, Any] = parse_json(text, where)
    return values


def _validate(where: Path | str, kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise ValueError(
            f"{where} is not what a run writes: {faults}; copy the run again"
        ) from error
