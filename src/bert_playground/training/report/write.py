"""write_report: report.html of a run folder; report_run: the same at the end of a run, which it never makes fail."""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import bert_playground
from bert_playground.data.prepare import Prepared
from bert_playground.files import write_text
from bert_playground.logger import logger
from bert_playground.run_record import RunRecord, read_record
from bert_playground.runs import RunDir
from bert_playground.tasks import TASKS
from bert_playground.training.report.again import prepare_rows
from bert_playground.training.report.blocks import Block, Section, Text
from bert_playground.training.report.class_charts import show_classes
from bert_playground.training.report.columns_shown import show_columns
from bert_playground.training.report.curves import show_curves
from bert_playground.training.report.data_shown import show_data
from bert_playground.training.report.folds import show_folds, show_members
from bert_playground.training.report.next_commands import list_commands
from bert_playground.training.report.number_charts import show_numbers
from bert_playground.training.report.overview import name_run, say_overview, show_results
from bert_playground.training.report.page import render_page
from bert_playground.training.report.rows_shown import show_rows
from bert_playground.training.report.scored import Scored, score_run
from bert_playground.training.report.settings_shown import show_environment, show_settings

Part = Callable[[], list[Block]]
Made = TypeVar("Made")


def report_run(
    run: RunDir, prepared: Prepared | None = None, *, reads_tables: bool = False
) -> bool:
    """Write the report of a run that has just ended; what goes wrong is said, and nothing else happens.

    Args:
        run: with all its files.
        prepared: its tables, where they are at hand.
        reads_tables: whether tables that are not at hand are read; else what needs them is left out.

    Returns:
        Whether there is a report.
    """
    started = time.perf_counter()
    try:
        write_report(run, prepared, reads_tables=reads_tables)
    # A page must not cost anybody a training; Ctrl-C now ends the page alone.
    except (Exception, KeyboardInterrupt) as error:
        logger.warning(
            f"no report was written ({type(error).__name__}: {error}); the run is whole, and `bert runs report {run.path}` "
            "tries again"
        )
        return False
    logger.info(f"report: {run.report_path} ({time.perf_counter() - started:.1f} s)")
    return True


def write_report(
    run: RunDir, prepared: Prepared | None = None, *, reads_tables: bool = True
) -> Path:
    """Write report.html, also of a run that was stopped, or that an earlier version made.

    A part that cannot be made, as a table is no longer there, is named on the page with the reason.

    Args:
        run: the folder.
        prepared: its tables; None: they are read again.
        reads_tables: whether tables that are not given are read.

    Raises:
        FileNotFoundError: the folder is not there, or is no run's.
        ValueError: one of its files is damaged.
    """
    record = read_record(run.path)
    page = _Attempts()
    if prepared is None and reads_tables:
        prepared = page.call("the tables", partial(prepare_rows, record))
    scored = None
    if prepared is not None and record.settings.command == "train":
        scored = page.call("answers to rows", partial(score_run, record, prepared))
    html = render_page(
        title=name_run(record),
        sentence=say_overview(record, None if scored is None else scored.answers),
        made=f"{run.path.name}, bert-playground {bert_playground.__version__}, {datetime.now():%Y-%m-%d %H:%M}",
        sections=_make_sections(page, record, prepared, scored),
        faults=page.faults,
    )
    write_text(run.report_path, html)
    return run.report_path


def _make_sections(
    page: "_Attempts", record: RunRecord, prepared: Prepared | None, scored: Scored | None
) -> list[Section]:
    answers = None if scored is None else scored.answers
    folds = None if scored is None else scored.folds
    parts: list[tuple[str, str, list[Part]]] = [
        ("results", "Result", [partial(show_results, record, answers)]),
        (
            "members",
            "Members" if folds is None else "Folds and members",
            [partial(show_folds, record, folds, answers), partial(show_members, record)],
        ),
        ("curves", "Learning curves", [partial(show_curves, record)]),
    ]
    if scored is not None:
        parts += [
            ("answers", "Answers", [partial(_show_answers, scored)]),
            ("columns", "Which columns drove this", [partial(show_columns, record, scored)]),
            ("rows", "Most surprising rows", [partial(show_rows, scored)]),
        ]
    if prepared is not None:
        pipeline = None if scored is None else scored.pipeline
        show = partial(show_data, prepared, pipeline, has_folds=folds is not None)
        parts.append(("data", "Data", [show]))
    parts += [
        ("settings", "Settings", [partial(show_settings, record)]),
        ("environment", "Environment", [partial(show_environment, record)]),
        ("next", "What next", [partial(list_commands, record)]),
    ]
    made = (page.section(*part) for part in parts)
    return [section for section in made if section is not None]


def _show_answers(scored: Scored) -> list[Block]:
    show = show_classes if TASKS[scored.answers.task].is_classification else show_numbers
    return [Text((f"{scored.source}.",)), *show(scored.answers)]


class _Attempts:
    """Parts of the page, each by itself: one that fails takes no other with it."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def call(self, what: str, make: Callable[[], Made]) -> Made | None:
        """What is made; None: it failed, and the page says so."""
        try:
            return make()
        # Whatever it is, the rest of the page is worth having.
        except Exception as error:
            logger.debug(f"report: {what}: {type(error).__name__}: {error}")
            self.faults.append(f"{what}: {error or type(error).__name__}")
            return None

    def section(self, anchor: str, title: str, parts: list[Part]) -> Section | None:
        """The section of all parts that could be made; None: there is nothing to show."""
        blocks = [block for part in parts for block in self.call(title, part) or []]
        return Section(anchor, title, tuple(blocks)) if blocks else None
