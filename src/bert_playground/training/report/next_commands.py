"""list_commands: what to type after a run; each of them works as it stands."""

from pathlib import Path
from shlex import quote

from bert_playground.run_record import RunRecord
from bert_playground.training.report.blocks import Block, Commands

CALIBRATED = ("binary", "multiclass")


def list_commands(record: RunRecord) -> list[Block]:
    """Commands with what they do."""
    run, summary = record.run, record.summary
    folder = quote(str(run.path))
    if not (summary.metrics or summary.members or summary.blend):
        command = record.settings.command
        lines = (
            [(f"bert {command} --resume {folder}", "go on where it stopped")]
            if _can_resume(record)
            else []
        )
        return [Commands((*lines, _show(folder)))]
    if record.settings.command == "pretrain":
        return [Commands((*_fine_tune(record), _show(folder)))]
    lines = []
    train = _table(record, "data.train")
    if train is not None:
        test = _test_beside(train)
        if test is not None:
            lines.append(
                (
                    f"bert predict --test {quote(str(test))} --checkpoint {folder} --output submission.csv",
                    "predict the test table",
                )
            )
        lines.append(
            (
                f"bert data describe {quote(str(train))}",
                "how the table is read, and what looks wrong in it",
            )
        )
    # A refitted model has seen all rows, so that none is left to calibrate it on.
    if summary.task in CALIBRATED and not summary.members and not run.refit.is_dir():
        lines.append(
            (f"bert model calibrate --checkpoint {folder}", "make probabilities mean what they say")
        )
    lines.append(_show(folder))
    parent = quote(str(run.path.parent))
    lines.append((f"bert runs list --output-dir {parent}", "this run among the others beside it"))
    return [Commands(tuple(lines))]


def _show(folder: str) -> tuple[str, str]:
    return f"bert runs show {folder}", "the figures of this run in the terminal"


def _can_resume(record: RunRecord) -> bool:
    run = record.run
    return bool(run.resumable()) or run.fold_fits.is_dir()


def _fine_tune(record: RunRecord) -> list[tuple[str, str]]:
    train, kept = _table(record, "data.train"), record.run.kept
    if train is None or kept is None:
        return []
    return [
        (
            f"bert train --model {quote(str(kept))} --train {quote(str(train))}",
            "fine-tune what was pretrained",
        )
    ]


def _table(record: RunRecord, path: str) -> Path | None:
    value = record.setting(path)
    return Path(value) if value and Path(value).is_file() else None


def _test_beside(train: Path) -> Path | None:
    """The test table that lies beside the training table."""
    test = train.with_name(train.name.replace("train", "test"))
    return test if test != train and test.is_file() else None
