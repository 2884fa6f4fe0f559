"""What was tracked, read back: find_experiments, list_runs, find_run, best_run, compare_runs, export_run."""

import json
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bert_playground.files import replaced_directory, write_text
from bert_playground.lookup import expand_home, nearest, shorten
from bert_playground.tracking.store import (
    TRACKING_URI,
    connect,
    database_file,
    explain,
    hide_secrets,
    import_mlflow,
)
from bert_playground.tracking.tracked_run import BEST, PREFIX, RESULT, SOURCE

MOST_RUNS = 1000  # that are looked through
PARENT = "mlflow.parentRunId"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Run:
    """A run as MLflow keeps it.

    Attributes:
        run_id: 32 letters.
        name: that of the run folder.
        experiment: its name.
        status: one of STATUSES.
        began: in UTC.
        seconds: that it took; None: it has not ended.
        metrics: their last values, and as …_best those of the best epoch.
        params: settings.
        given: those that somebody set, with where.
        tags: everything else.
        tables: name, digest and context of what it read.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    began: str
    seconds: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    tables: tuple[dict[str, str], ...] = ()

    @property
    def kind(self) -> str:
        """Such as run, fold or cross_validation; "": not one of ours."""
        return self.tags.get(f"{PREFIX}kind", "")

    @property
    def model_id(self) -> str | None:
        """Of the model that it stored."""
        return self.tags.get(f"{PREFIX}model_id")

    def metric(self, name: str) -> float | None:
        """The best value of a metric, where it was kept, else the last one."""
        return self.metrics.get(f"{name}{BEST}", self.metrics.get(name))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "kind": self.kind, "model_id": self.model_id}


class Store:
    """An MLflow store that is read; whatever it refuses becomes one clear message.

    Attributes:
        address: of it.
        client: MLflow's own.
    """

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            FileNotFoundError: there is no such database.
            ValueError: the server does not answer, or the database is of another version.
        """
        file = database_file(address)
        if file is not None and not file.is_file():
            raise FileNotFoundError(
                f"no MLflow store at {file}; train with --mlflow first, or name another with --store"
            )
        self.address = address
        self.client = self.ask(lambda: connect(address))
        self._experiments: dict[str, str] = {}

    def ask(self, question: Any) -> Any:
        """What `question()` gives.

        Raises:
            ValueError: the store refuses; says why.
        """
        try:
            return question()
        except (ValueError, FileNotFoundError):
            raise
        except Exception as error:
            raise ValueError(f"MLflow: {explain(error, self.address)}") from error

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Inside the block MLflow's default store, in which it looks for models:/…, is this one."""
        mlflow = import_mlflow()
        before = os.environ.get(TRACKING_URI)
        mlflow.set_tracking_uri(self.address)  # which writes it into the environment
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)

    @property
    def experiments(self) -> dict[str, str]:
        """Name → id, of those that are not deleted."""
        if not self._experiments:
            found = self.ask(lambda: list(self.client.search_experiments()))
            self._experiments = {each.name: str(each.experiment_id) for each in found}
        return self._experiments

    def find_experiments(self, name: str | None) -> dict[str, str]:
        """Name → id of one, or of all.

        Raises:
            ValueError: there is none of this name.
        """
        if name is None:
            return self.experiments
        if name not in self.experiments:
            known = shorten(sorted(self.experiments)) or "none"
            raise ValueError(
                f"no experiment {name!r} in {hide_secrets(self.address)}{nearest(name, self.experiments)} (there are: {known})"
            )
        return {name: self.experiments[name]}

    def list_runs(
        self, experiment: str | None = None, *, status: str | None = None, nested: bool = False
    ) -> list[Run]:
        """Runs, the newest first.

        Args:
            experiment: whose; None: all.
            status: those with this one alone.
            nested: whether those inside others are listed too.
        """
        found = self.find_experiments(experiment)
        chosen = "" if status is None else f"attributes.status = '{status}'"
        runs = self.ask(
            lambda: self.client.search_runs(list(found.values()), chosen, max_results=MOST_RUNS)
        )
        read = map(self._read, runs)
        return [run for run in read if nested or PARENT not in run.tags]

    def find_run(self, named: str) -> Run:
        """A run by its id, the beginning of it, its name, or the folder of `bert train`.

        Raises:
            ValueError: none fits, or several do.
        """
        text = named.strip().rstrip("/")
        runs = self.list_runs(nested=True)
        folder = str(expand_home(text).resolve())
        tests = (
            lambda run: run.run_id == text,
            lambda run: run.tags.get(f"{PREFIX}run") == folder,
            lambda run: run.name == text,
            lambda run: len(text) >= 4 and run.run_id.startswith(text),
        )
        for fits in tests:
            found = [run for run in runs if fits(run)]
            if len(found) == 1 or (found and fits is tests[1]):
                return found[0]  # of a folder that was resumed, the newest
            if found:
                listed = ", ".join(run.run_id for run in found[:8])
                raise ValueError(f"{named!r} means {len(found)} runs; name one by its id: {listed}")
        names = [run.name for run in runs] + [run.run_id for run in runs]
        raise ValueError(
            f"no run {named!r} in {hide_secrets(self.address)}{nearest(text, names)}; `bert mlflow runs --nested` lists all"
        )

    def children(self, run: Run) -> list[Run]:
        """The runs inside a run, in the order in which they began."""
        experiment = self.experiments[run.experiment]
        found = self.ask(
            lambda: self.client.search_runs([experiment], f"tags.`{PARENT}` = '{run.run_id}'")
        )
        return sorted(map(self._read, found), key=lambda each: (each.began, each.name))

    def history(self, run: Run, name: str) -> list[tuple[int, float]]:
        """Step and value of a metric, as it was measured.

        Raises:
            ValueError: the run has no such metric.
        """
        require_metric([run], name)
        rows = self.ask(lambda: self.client.get_metric_history(run.run_id, name))
        return [(row.step, row.value) for row in sorted(rows, key=lambda row: row.step)]

    def files(self, run: Run, folder: str | None = None) -> list[str]:
        """The artifacts of a run, those in folders too."""
        found: list[str] = []
        for each in self.ask(lambda: self.client.list_artifacts(run.run_id, folder)):
            found += self.files(run, each.path) if each.is_dir else [each.path]
        return found

    def _read(self, run: Any) -> Run:
        names = {number: name for name, number in self.experiments.items()}
        began, ended = run.info.start_time, run.info.end_time
        tags = dict(run.data.tags)
        inputs = getattr(run.inputs, "dataset_inputs", None) or []
        return Run(
            run_id=run.info.run_id,
            name=run.info.run_name or "",
            experiment=names.get(str(run.info.experiment_id), str(run.info.experiment_id)),
            status=run.info.status,
            began=datetime.fromtimestamp(began / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            seconds=None if ended is None else (ended - began) / 1000,
            metrics=dict(run.data.metrics),
            params=dict(run.data.params),
            given={
                name.removeprefix(SOURCE): by
                for name, by in tags.items()
                if name.startswith(SOURCE)
            },
            tags=tags,
            tables=tuple(
                {
                    "name": each.dataset.name,
                    "digest": each.dataset.digest,
                    "context": ", ".join(tag.value for tag in each.tags),
                }
                for each in inputs
            ),
        )


def require_metric(runs: Iterable[Run], name: str) -> None:
    """Check that a run has measured it.

    Raises:
        ValueError: none has; names the nearest one and all that there are.
    """
    runs = list(runs)
    if any(run.metric(name) is not None for run in runs):
        return
    known = sorted({metric for run in runs for metric in run.metrics if "/" not in metric})
    raise ValueError(
        f"no run has a metric {name!r}{nearest(name, known)} (there are: {shorten(known, 30) or 'none'})"
    )


def best_run(
    runs: Sequence[Run],
    metric: str | None = None,
    mode: str | None = None,
    maximized: Container[str] = (),
) -> tuple[Run, str, str]:
    """The finished run with the best value.

    Args:
        runs: to choose from.
        metric: that decides; None: the one that the runs were judged by.
        mode: "max" or "min"; None: as the runs say, else by the next argument.
        maximized: names of metrics, without val_, of which more is better.

    Returns:
        The run, the metric and the mode.

    Raises:
        ValueError: no run has finished, none has the metric, or they were judged by several.
    """
    finished = [run for run in runs if run.status == "FINISHED"]
    if not finished:
        raise ValueError("no run has finished yet; `bert mlflow runs` lists all")
    name = metric or _common_monitor(finished)
    require_metric(finished, name)
    direction = mode or _direction(finished, name, maximized)
    measured = [(value, run) for run in finished if (value := run.metric(name)) is not None]
    sign = 1 if direction == "max" else -1
    return max(measured, key=lambda pair: sign * pair[0])[1], name, direction


def _common_monitor(runs: Sequence[Run]) -> str:
    monitors = {run.tags[key] for run in runs if (key := f"{PREFIX}monitor") in run.tags}
    if len(monitors) != 1:
        listed = ", ".join(sorted(monitors)) or "nothing"
        raise ValueError(f"the runs were judged by {listed}; choose by --metric NAME")
    return monitors.pop()


def _direction(runs: Sequence[Run], name: str, maximized: Container[str]) -> str:
    for run in runs:
        if run.tags.get(f"{PREFIX}monitor") == name and f"{PREFIX}mode" in run.tags:
            return run.tags[f"{PREFIX}mode"]
    bare = name.removesuffix(BEST).removeprefix("val_")
    return "max" if bare in maximized else "min"


def compare_runs(runs: Sequence[Run]) -> dict[str, dict[str, list[Any]]]:
    """Settings and results that differ, and the metrics that at least two have: name → the value of each run."""
    names = list(dict.fromkeys(name for run in runs for name in run.params))
    params = {name: [run.params.get(name) for run in runs] for name in names}
    differing = {name: row for name, row in params.items() if len(set(row)) > 1}
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    measured = {name: [run.metrics.get(name) for run in runs] for name in metrics}
    return {
        "settings": {k: row for k, row in differing.items() if not k.startswith(RESULT)},
        "results": {
            name.removeprefix(RESULT): row
            for name, row in differing.items()
            if name.startswith(RESULT)
        },
        "metrics": {
            name: row
            for name, row in measured.items()
            if sum(value is not None for value in row) > 1 and not name.startswith("system/")
        },
        "tables": {
            "training": [
                next((t["digest"] for t in run.tables if t["context"] == "training"), None)
                for run in runs
            ]
        },
    }


def export_run(store: Store, run: Run, output: Path) -> dict[str, int]:
    """Write a run as files: run.json, metrics.csv with all steps, artifacts/ and model/.

    Returns:
        What was written: metric values, artifacts, and files of the model.

    Raises:
        ValueError: `output` is there.
    """
    if output.exists():
        raise ValueError(f"{output} is there already; remove it, or choose another --output")
    lines = ["metric,step,value"]
    for name in sorted(run.metrics):
        lines += [f"{name},{step},{value!r}" for step, value in store.history(run, name)]
    with replaced_directory(output) as folder:
        write_text(folder / "run.json", json.dumps(run.to_dict(), indent=2) + "\n")
        write_text(folder / "metrics.csv", "\n".join(lines) + "\n")
        artifacts = store.files(run)
        with store.as_default():
            _download_files(store, run.run_id, artifacts, folder / "artifacts")
            if run.model_id is not None:
                _download_model(store, run.model_id, folder / "model")
        num_files = sum(file.is_file() for file in (folder / "model").rglob("*"))
    return {"values": len(lines) - 1, "artifacts": len(artifacts), "model_files": num_files}


def _download_files(store: Store, run_id: str, names: Sequence[str], folder: Path) -> None:
    folder.mkdir()
    for name in names:  # all at once MLflow would add those of the model
        store.ask(lambda name=name: store.client.download_artifacts(run_id, name, str(folder)))


def _download_model(store: Store, model_id: str, folder: Path) -> None:
    from mlflow.artifacts import download_artifacts

    folder.mkdir()
    store.ask(lambda: download_artifacts(artifact_uri=f"models:/{model_id}", dst_path=str(folder)))
