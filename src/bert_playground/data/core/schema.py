"""Schema: what a table is (target, task, id, what is left out), decided once and stored with the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bert_playground.data.targets.windows import Windows


@dataclass(frozen=True)
class Schema:
    """What a table is: the answer to what a configuration asks for or leaves open.

    Attributes:
        target: the column to predict, or several between commas.
        targets: the columns that `target` names.
        task: a name in TASKS.
        id_column: names the rows; None: their number does.
        dropped: columns that are left out, as the test table lacks them or as they only count the rows.
        class_order: of an ordinal target, lowest first; None: numbers order themselves.
        weight_column: how much each training row counts in the loss; None: all the same.
        template: a name in TEMPLATES that suits a known data set, or "auto".
        metric: that a known data set is judged by; None: that of the task.
        windows: how the rows were cut from a table of series.
        notes: what was decided, in sentences.
        inferred: what is said of target and task where one of them was inferred, for errors that come of it.
    """

    target: str
    targets: tuple[str, ...]
    task: str
    id_column: str | None = None
    dropped: tuple[str, ...] = ()
    class_order: tuple[str, ...] | None = None
    weight_column: str | None = None
    template: str = "auto"
    metric: str | None = None
    windows: Windows | None = None
    notes: tuple[str, ...] = ()
    inferred: str = ""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The columns that are never a feature."""
        return (*self.targets, *self.dropped)

    def to_dict(self) -> dict[str, Any]:
        """The fields that pipeline.json holds side by side with those of the text."""
        return {
            "target": self.target,
            "id_column": self.id_column,
            "task": self.task,
            "dropped": self.dropped,
            "metric": self.metric,
            "windows": None if self.windows is None else self.windows.to_dict(),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], targets: tuple[str, ...], task: str) -> Self:
        """What `to_dict` wrote, or an earlier version, whose files have the target, the id and the windows alone.

        Args:
            document: of pipeline.json.
            targets: the columns that the label encoder knows.
            task: of the label encoder.
        """
        windows = document.get("windows")
        return cls(
            document["target"],
            targets,
            task,
            document["id_column"],
            tuple(document.get("dropped", ())),
            metric=document.get("metric"),
            windows=None if windows is None else Windows.from_dict(windows),
        )
