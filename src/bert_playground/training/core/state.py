"""TrainState, History: facts about the run so far."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from bert_playground.logger import logger

# What happened, in order: training reports and evaluations, each a flat record. It is metrics.jsonl, line by line.
History = list[dict[str, Any]]


@dataclass
class TrainState:
    """What callbacks may read; they may set `stop_reason` and nothing else.

    It is saved whole with a resumable checkpoint, so everything that later steps depend on is here or in the arrays
    beside it.
    """

    step: int = 0  # optimizer steps taken
    epoch: int = 0  # epochs finished
    batch: int = 0  # batches used of the current epoch
    total_steps: int = 0
    num_epochs: int = 0
    steps_per_epoch: int = 0
    rows: int = 0  # examples seen
    tokens: int = 0
    seconds: float = 0.0  # training and evaluation time, over all sittings
    loss: float = 0.0  # of the last step
    learning_rate: float = 0.0
    gradient_norm: float = 0.0
    rows_per_second: float = 0.0  # since the last report
    tokens_per_second: float = 0.0
    metrics: dict[str, float] = field(
        default_factory=dict
    )  # of the last evaluation, names start with val_
    raw_metrics: dict[str, float] = field(
        default_factory=dict
    )  # of the last weights themselves, where averaged ones are evaluated
    monitor: str = ""  # the metric that decides which epoch is best, such as val_accuracy
    mode: str = "max"
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    best_epoch: int = 0
    evaluations_since_best: int = 0
    finished_step: int = -1  # the step after which the last evaluation and epoch end took place
    epoch_loss: float = 0.0  # sum over the rows of the current epoch
    epoch_rows: int = 0
    report_loss: float = 0.0  # sum over the rows since the last report
    report_rows: int = 0
    averaged_steps: int = 0  # whose weights are in the mean of `Loop.swa_start`
    stop_reason: str = ""
    skipped_steps: int = 0  # of the steps, those whose update was left out as it was not finite
    skipped_in_a_row: int = 0
    planned_steps: int = 0  # `total_steps` before a limit of time shortened it
    history: History = field(default_factory=list)

    @property
    def is_best(self) -> bool:
        """Whether the last evaluation was the best so far."""
        return bool(self.best_metrics) and self.evaluations_since_best == 0

    def count_step(self, loss: float, rows: int, tokens: int) -> None:
        """Take one optimizer step with this mean loss into account."""
        self.step += 1
        self.skipped_in_a_row = 0
        self.loss = loss
        self.rows += rows
        self.tokens += tokens
        self.epoch_loss += loss * rows
        self.epoch_rows += rows
        self.report_loss += loss * rows
        self.report_rows += rows

    def skip_step(self) -> None:
        """Count a step whose update was left out; its rows have taught nothing, and its loss is no number."""
        self.step += 1
        self.skipped_steps += 1
        self.skipped_in_a_row += 1

    def finish_epoch(self) -> None:
        """Count the epoch and forget its sums."""
        self.epoch += 1
        self.batch, self.epoch_loss, self.epoch_rows = 0, 0.0, 0

    def record_step(self) -> None:
        """Add a training report to the history: the mean loss since the last one."""
        self.history.append(
            {
                "kind": "train",
                "step": self.step,
                "epoch": self.epoch + 1,
                "loss": self.report_loss / self.report_rows,
                "learning_rate": self.learning_rate,
                "gradient_norm": self.gradient_norm,
                "rows_per_second": self.rows_per_second,
                "tokens_per_second": self.tokens_per_second,
                "seconds": self.seconds,
            }
        )
        self.report_loss, self.report_rows = 0.0, 0

    def record_evaluation(self, epoch: int, train_loss: float, metrics: dict[str, float]) -> None:
        """Add an evaluation to the history, and judge whether it is the best so far.

        Equal values of the monitored metric, common on small tables, are decided by the validation loss.
        """
        position = {
            "kind": "evaluation",
            "step": self.step,
            "epoch": epoch,
            "train_loss": train_loss,
        }
        self.history.append({**position, **metrics, "seconds": self.seconds})
        self.metrics = metrics
        if self.monitor not in metrics:  # such as ROC-AUC when validation rows have a single class
            logger.warning(
                f"{self.monitor} is not defined on the validation rows; val_loss decides instead"
            )
            self.monitor, self.mode = "val_loss", "min"
        if self._is_better(metrics):
            self.best_metrics, self.best_step, self.best_epoch = metrics, self.step, epoch
            self.evaluations_since_best = 0
        else:
            self.evaluations_since_best += 1

    def _is_better(self, metrics: dict[str, float]) -> bool:
        if not self.best_metrics:
            return True
        # The metric first named may be missing from an older evaluation (one class only); then the newer one counts.
        new, best = metrics[self.monitor], self.best_metrics.get(self.monitor)
        if best is None or math.isnan(best):
            return not math.isnan(new)
        if new == best:
            return metrics.get("val_loss", 0.0) < self.best_metrics.get("val_loss", 0.0)
        return new > best if self.mode == "max" else new < best

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; they are the state's own, not copies."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainState":
        """The state that `to_dict` wrote; keys of other versions are ignored."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
