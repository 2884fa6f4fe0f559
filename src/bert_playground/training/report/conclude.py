"""conclude_run, write_late: the last thing of every run: summary.json, and the report where it is wanted."""

from typing import Any

from bert_playground.data.prepare import Prepared
from bert_playground.runs import RunDir
from bert_playground.training.start import write_json


def conclude_run(
    run: RunDir, summary: dict[str, Any], prepared: Prepared | None = None, *, has_report: bool
) -> None:
    """Write the summary, and the report of it; of a report that was written, `files` of the summary has the path.

    Args:
        run: its folder.
        summary: what summary.json shall hold; `files` may change.
        prepared: its tables; None: the report does without rows.
        has_report: whether one is wanted (`training.report`).
    """
    write_json(run.summary, summary)
    if not has_report:
        return
    if write_late(run, prepared):
        summary["files"] = {**summary.get("files", {}), "report": str(run.report_path)}
        write_json(run.summary, summary)


def write_late(
    run: RunDir, prepared: Prepared | None = None, *, reads_tables: bool = False
) -> bool:
    """`report_run`, whose libraries are loaded when training is over."""
    from bert_playground.training.report.write import report_run

    return report_run(run, prepared, reads_tables=reads_tables)
