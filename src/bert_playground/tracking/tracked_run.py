"""TrackedRun: a run in MLflow, or one inside another, written by an outbox so that training neither waits nor ends."""

import getpass
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_playground.logger import logger
from bert_playground.tracking.datasets import TrackedTable, make_input
from bert_playground.tracking.outbox import Letter, Loss, Outbox
from bert_playground.tracking.store import (
    connect,
    database_file,
    explain,
    hide_secrets,
    import_mlflow,
    is_passing,
)
from bert_playground.tracking.system_metrics import SystemMetrics

LOCAL_SLOWNESS = 60.0  # seconds of a slow disk
MOST_VALUES = 100_000  # of metrics that wait
BATCH_METRICS, BATCH_PARAMS = 1000, 100  # that MLflow takes at once
LONGEST_PARAM, LONGEST_TAG, LONGEST_NAME = 6000, 5000, 250  # characters that MLflow takes
PREFIX = "bert_playground."  # of our own tags
BEST = "_best"  # ends the names of metrics of the best epoch
RESULT = "result."  # begins the names of parameters that came out
SOURCE = "source."  # of the tags that say who gave a setting


@dataclass(frozen=True)
class Beginning:
    """What a tracked run begins with.

    Attributes:
        experiment: made if it does not exist.
        name: of the run, such as its folder's name.
        params: settings by their dotted path.
        tags: what else is known of it.
        resumes: whether an earlier attempt at the same folder is still called running, and is none.
    """

    experiment: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    resumes: bool = False


class TrackedRun:
    """A run that is written from a thread; all methods but `finish` return at once, and none raises.

    Attributes:
        address: of the store.
        run_id: as soon as the store has given one.
        outbox: that runs inside this one write by too.
    """

    def __init__(
        self, address: str, beginning: Beginning, parent: "TrackedRun | None" = None
    ) -> None:
        """Begin.

        Args:
            address: from `choose_store`.
            beginning: what is known of it.
            parent: the run that it is shown under.
        """
        self.address, self.beginning, self.parent = address, beginning, parent
        self._began = _now()
        self.run_id = ""
        self.experiment_id = ""
        self.client: Any = None
        self.fault = ""  # why nothing can be tracked
        self._values: deque[tuple[str, float, int, int]] = deque()
        self._num_lost_values = 0
        self._system: SystemMetrics | None = None
        self.outbox: Outbox = Outbox(is_passing, self._explain) if parent is None else parent.outbox
        if parent is None:
            self.outbox.put(Letter("the import of mlflow", self._import, slowness=LOCAL_SLOWNESS))
        is_local = (
            database_file(address) is not None
        )  # a new database takes seconds, and cannot hang
        slowness = LOCAL_SLOWNESS if is_local else 0.0
        self.outbox.put(Letter("the beginning of the run", self._begin, slowness=slowness))

    @property
    def is_nested(self) -> bool:
        """Whether it is shown under another."""
        return self.parent is not None

    def watch_system(self) -> None:
        """Measure processors, memory, disk and network from now on."""
        self._system = SystemMetrics(self.log_metrics)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record settings; long values are cut to what MLflow takes."""
        kept = {name: str(value)[:LONGEST_PARAM] for name, value in params.items()}
        self._put("settings", lambda: self._send_params(kept))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record what can be searched for and may change."""
        kept = _cut(tags)
        self._put("tags", lambda: self._send_tags(kept))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at an optimizer step; many are sent together."""
        if self.fault:
            return
        now = _now()
        is_new = not self._values
        for name, value in metrics.items():
            if len(self._values) >= MOST_VALUES:
                self._num_lost_values += 1
            else:
                self._values.append((_allowed(name), float(value), now, step))
        if is_new:
            self._put("metrics", self._send_metrics)

    def log_table(self, table: TrackedTable, context: str) -> None:
        """Record a table with its digest, as the input for "training", "validation" or "test"."""
        self._put(f"the table {table.name}", lambda: self._send_table(table, context))

    def log_folder(self, folder: Path, name: str) -> None:
        """Copy a folder's files to the artifacts."""
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        self._put(
            f"the folder {name}",
            lambda: self.client.log_artifacts(self.run_id, str(folder), artifact_path=name),
            size,
        )

    def log_file(self, path: Path) -> None:
        """Copy a file to the artifacts."""
        self._put(
            path.name,
            lambda: self.client.log_artifact(self.run_id, str(path)),
            path.stat().st_size,
        )

    def log_model(self, folder: Path, name: str, step: int = 0) -> None:
        """Store a folder in MLflow's model format as the run's model; a server before MLflow 3 gets it as artifacts.

        Args:
            folder: from `save_pyfunc`; it has to stay until `finish`.
            name: of the model.
            step: after which it was taken.
        """
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        self._put("the model", lambda: self._send_model(folder, name, step), size)

    def finish(self, status: str = "FINISHED", *, is_kept: bool = True) -> Loss | None:
        """End the run as FINISHED, FAILED or KILLED, and wait until all is written, or nothing moves any more.

        Args:
            status: how it ended.
            is_kept: whether it has anything to tell; else it is removed.

        Returns:
            What was lost; None: the run that it is shown under will tell.
        """
        if self._system is not None:
            self._system.stop()
        if self._values:
            self._put("metrics", self._send_metrics)
        ended = _now()
        self._put(
            "the end of the run",
            lambda: self.client.set_terminated(self.run_id, status=status, end_time=ended),
        )
        if not is_kept:
            self._put("the removal of the run", lambda: self.client.delete_run(self.run_id))
        if self.is_nested:
            return None
        loss = self.outbox.close()
        if self._num_lost_values:
            loss.counts["metric values"] += self._num_lost_values
            loss.reason = loss.reason or "too many waited"
        return loss

    def _put(self, what: str, send: Any, size: int = 0) -> None:
        def send_unless_faulty() -> None:
            if not self.fault:
                send()

        if not self.fault:
            self.outbox.put(Letter(what, send_unless_faulty, size))

    def _explain(self, error: BaseException) -> str:
        return explain(error, self.address)

    def _import(self) -> None:
        import_mlflow()

    def _begin(self) -> None:
        """Raises only what may pass; with anything else the run goes on untracked."""
        try:
            self._create()
        except Exception as error:
            if is_passing(error):
                raise
            self.fault = self._explain(error)
            logger.warning(f"MLflow: this run is not tracked: {self.fault}")

    def _create(self) -> None:
        if self.parent is not None and self.parent.fault:
            self.fault = self.parent.fault
            return
        tags = dict(self.beginning.tags)
        if self.parent is None:
            self.client = connect(self.address)
            self.experiment_id = find_or_create_experiment(
                self.client, self.address, self.beginning.experiment
            )
        else:
            self.client, self.experiment_id = self.parent.client, self.parent.experiment_id
            tags["mlflow.parentRunId"] = self.parent.run_id
        if self.beginning.resumes:
            self._end_former()
        tags.setdefault("mlflow.user", getpass.getuser())
        created = self.client.create_run(
            self.experiment_id,
            start_time=self._began,
            run_name=self.beginning.name,
            tags=_cut(tags),
        )
        self.run_id = str(created.info.run_id)
        self._send_params(
            {name: str(value)[:LONGEST_PARAM] for name, value in self.beginning.params.items()}
        )

    def _end_former(self) -> None:
        """A process that was killed has left its run as running."""
        folder = self.beginning.tags[f"{PREFIX}run"]
        quote = '"' if "'" in folder else "'"
        for run in self.client.search_runs(
            [self.experiment_id],
            f"tags.`{PREFIX}run` = {quote}{folder}{quote} and attributes.status = 'RUNNING'",
        ):
            self.client.set_terminated(run.info.run_id, status="KILLED")

    def _send_params(self, params: Mapping[str, str]) -> None:
        entities = import_mlflow().entities
        entries = [entities.Param(name, value) for name, value in params.items()]
        for start in range(0, len(entries), BATCH_PARAMS):
            self.client.log_batch(self.run_id, params=entries[start : start + BATCH_PARAMS])

    def _send_tags(self, tags: Mapping[str, str]) -> None:
        entities = import_mlflow().entities
        entries = [entities.RunTag(name, value) for name, value in tags.items()]
        self.client.log_batch(self.run_id, tags=entries)

    def _send_metrics(self) -> None:
        """All that wait, in as few transactions as possible: the database takes milliseconds for each."""
        entities = import_mlflow().entities
        while self._values:
            waiting = list(self._values)[:BATCH_METRICS]
            batch = [entities.Metric(*value) for value in waiting]
            try:
                self.client.log_batch(self.run_id, metrics=batch)
            except Exception as error:
                if not is_passing(error):  # or it would be tried before all later values
                    self._drop_values(len(waiting))
                raise
            self._drop_values(len(waiting))

    def _drop_values(self, number: int) -> None:
        for _ in range(number):
            self._values.popleft()

    def _send_table(self, table: TrackedTable, context: str) -> None:
        self.client.log_inputs(self.run_id, [make_input(table, context)])

    def _send_model(self, folder: Path, name: str, step: int) -> None:
        from bert_playground.tracking.logged_model import log_model

        model_id = log_model(self.client, self.experiment_id, self.run_id, folder, name, step)
        if model_id is not None:
            self._send_tags({f"{PREFIX}model_id": model_id})


def find_or_create_experiment(client: Any, address: str, name: str) -> str:
    """The id of an experiment; the artifacts of one in an SQLite file lie beside the file.

    Raises:
        ValueError: the name is empty, or that of an experiment that was deleted.
    """
    if not name.strip():
        raise ValueError("the name of the experiment is empty; give --experiment NAME")
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage != "active":
            raise ValueError(
                f"the experiment {name!r} was deleted; choose another --experiment, or restore it: "
                f"bert mlflow doctor --restore {name!r}"
            )
        return str(found.experiment_id)
    file = database_file(address)
    location = None if file is None else (file.parent.resolve() / "mlflow_artifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: hide_secrets(value)[:LONGEST_TAG] for name, value in tags.items()}


def _allowed(name: str) -> str:
    """The name of a metric without the signs that MLflow refuses, such as those of a class's name."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:LONGEST_NAME]


def _now() -> int:
    return int(time.time() * 1000)
