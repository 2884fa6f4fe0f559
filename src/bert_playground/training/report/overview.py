"""say_overview: the run in a sentence; show_results: its metrics beside those of the best constant answer."""

from collections.abc import Mapping

from bert_playground.lookup import count_of
from bert_playground.run_lock import is_running
from bert_playground.run_record import RunRecord
from bert_playground.runs import ENSEMBLE_NAME
from bert_playground.training.metrics.scorer import METRICS
from bert_playground.training.report.answers import Answers
from bert_playground.training.report.blocks import Block, Cell, Notes, Table, spell_number

PRETRAINING = "hidden words"  # the task of a pretraining run
# Activations in bf16 and sums in another order move metrics by less than this.
TOLERANCE = 2e-3


def name_run(record: RunRecord) -> str:
    """What was trained, for the title."""
    summary, table = record.summary, record.setting("data.train")
    what = summary.target or record.setting("data.target") or summary.task or "a model"
    if record.settings.command == "pretrain":
        what = PRETRAINING
    folder = str(table).replace("\\", "/").split("/")[-2:-1] if table else []
    return f"{folder[0]}: {what}" if folder else str(what)


def headline(record: RunRecord) -> str | None:
    """The metric that people look at first: the one that decided, or where that is the loss, the first beside it."""
    metrics = record.summary.metrics
    monitor = record.summary.monitor
    monitor = monitor if monitor is None or monitor.startswith("val_") else f"val_{monitor}"
    if monitor in metrics and monitor != "val_loss":
        return monitor
    return next((name for name in metrics if name != "val_loss"), next(iter(metrics), None))


def say_overview(record: RunRecord, answers: Answers | None) -> str:
    """The run in a sentence or two."""
    summary = record.summary
    metrics: Mapping[str, float] = summary.metrics or (answers.measure() if answers else {})
    name = headline(record) or next(iter(metrics), None)
    parts = [_say_model(record)]
    if name is not None:
        rows = summary.val_rows or (answers.num_rows if answers else 0)
        where = "out of fold on" if record.summary.blend else "on"
        said = f"{name.removeprefix('val_')} {spell_number(metrics[name])} {where} {count_of(rows, 'row')} that it was not trained on"
        if name in summary.baseline:
            said += f", where the best constant answer has {spell_number(summary.baseline[name])}"
        parts.append(said)
    return f"{'; '.join(parts)}. {_say_course(record)}".strip()


def _say_model(record: RunRecord) -> str:
    if record.summary.blend:
        names = [str(member.get("name")) for member in record.summary.blend.get("members", ())]
        return f"A blend of {count_of(len(names), 'model')} ({', '.join(names)}) over folds"
    if record.members:
        return f"{len(record.members)} models that answer together"
    pretrained = record.setting("model.pretrained")
    if pretrained is not None:
        adapters = " with LoRA" if record.setting("lora.enabled") else ""
        return f"Fine-tuned: {pretrained}{adapters}"
    return f"A {record.setting('model.architecture') or 'model'} from random weights"


def _say_course(record: RunRecord) -> str:
    """How the training went."""
    summary = record.summary
    if not summary.metrics and not summary.last_metrics:
        done = record.evaluations[-1].epoch if record.evaluations else 0
        at = f" after {count_of(done, 'epoch')}" if done else ""
        if (record.run.path / ENSEMBLE_NAME).is_file():
            return ""  # of models of one's own there is none
        if is_running(record.run):
            return f"The run is still underway{at}."
        return f"The run was stopped{at}."
    parts = []
    if summary.best_epoch is not None:
        parts.append(
            f"Epoch {summary.best_epoch} of {summary.epochs} was best by {summary.monitor}"
        )
    if summary.train_rows is not None:
        parts.append(f"{summary.train_rows:,} training rows")
    if summary.seconds is not None:
        parts.append(f"{summary.seconds:,.0f} s")
    reason = f" It ended because of: {summary.stop_reason}." if summary.stop_reason else ""
    return f"{', '.join(parts)}.{reason}"


def show_results(record: RunRecord, answers: Answers | None) -> list[Block]:
    """The metrics of the summary; where the answers were computed again, whether they say the same."""
    summary = record.summary
    metrics = summary.metrics
    again = {} if answers is None else answers.measure()
    if not metrics:
        computed = tuple((name.removeprefix("val_"), value) for name, value in again.items())
        caption = "Metrics of the newest checkpoint, computed for this page"
        return [Table(caption, ("metric", "value"), computed)] if computed else []
    has_last = bool(summary.last_metrics) and summary.last_metrics != metrics
    columns = ["metric", "this run"]
    columns += ["after the last epoch"] if has_last else []
    columns += ["constant answer"] if summary.baseline else []
    rows: list[tuple[Cell, ...]] = []
    for name, value in metrics.items():
        row: list[Cell] = [
            name.removeprefix("val_") + (" *" if name == summary.monitor else ""),
            value,
        ]
        row += [summary.last_metrics.get(name)] if has_last else []
        row += [summary.baseline.get(name)] if summary.baseline else []
        rows.append(tuple(row))
    blocks: list[Block] = [
        Table("Metrics on rows that were not trained on", tuple(columns), tuple(rows))
    ]
    notes = ["* decided which epoch is best"] if summary.monitor in metrics else []
    notes += [
        _compare(name, metrics[name], again[name])
        for name in again
        if _differs(name, metrics, again)
    ]
    notes += [summary.hint] if summary.hint else []
    return [*blocks, Notes(tuple(notes))] if notes else blocks


def _differs(name: str, metrics: Mapping[str, float], again: Mapping[str, float]) -> bool:
    if name not in metrics:
        return False
    size = max(abs(metrics[name]), 1.0) if name.removeprefix("val_") in METRICS else 1.0
    return abs(metrics[name] - again[name]) > TOLERANCE * size


def _compare(name: str, then: float, now: float) -> str:
    return (
        f"{name.removeprefix('val_')} is {spell_number(now)} by the answers of this page, and {spell_number(then)} in the summary: they were "
        "computed or decided otherwise, or the table has changed since"
    )
