"""bert kaggle submit: check a file against the sample submission, and send it once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import (
    Competition,
    LedgerFile,
    choose_competition,
    connect,
    find_entry,
)
from bert_playground.cli.utils.completion import complete_checkpoints
from bert_playground.cli.utils.console import print_json, print_lines, say

if TYPE_CHECKING:
    from bert_playground.training.kaggle.submit import Plan

File = Annotated[Path, typer.Argument(metavar="FILE", help="the submission", show_default=False)]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="FOLDER",
        help="the run that answered: its score is kept",
        show_default=False,
        autocompletion=complete_checkpoints,
    ),
]
Sample = Annotated[
    Path | None,
    typer.Option(
        "--sample",
        metavar="FILE",
        help="sample submission to check against (default: the one in data/)",
        show_default=False,
    ),
]
Message = Annotated[
    str | None,
    typer.Option(
        "--message",
        metavar="TEXT",
        help="shown beside it (default: run, score and commit)",
        show_default=False,
    ),
]
Auto = Annotated[
    bool,
    typer.Option(
        "--auto-submit",
        help="send only if the run's out-of-fold score beats the best in the ledger by more than its standard error",
        show_default=False,
    ),
]
Again = Annotated[
    bool, typer.Option("--again", help="send content that was sent before", show_default=False)
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="check and show, send nothing", show_default=False)
]


def submit(
    file: File,
    competition: Competition = None,
    run: Run = None,
    sample: Sample = None,
    message: Message = None,
    auto_submit: Auto = False,
    again: Again = False,
    dry_run: DryRun = False,
    ledger: LedgerFile = Path("ledger.sqlite"),
    json: options.Json = False,
) -> None:
    """Check a file against the sample submission, show what is left of the day's limit, and send it, once."""
    from bert_playground.training.kaggle.ledger import open_ledger
    from bert_playground.training.kaggle.project import Project
    from bert_playground.training.kaggle.run_score import read_run_score
    from bert_playground.training.kaggle.submit import (
        look_before,
        plan_submission,
        refuse_repeat,
        send,
    )

    slug = choose_competition(competition)
    Project().refuse_file(slug)
    score = None if run is None else read_run_score(run)
    chosen = sample or _find_sample(slug)
    plan = plan_submission(slug, file, chosen, score=score, message=message)
    _say_plan(plan)
    if ledger.is_file() and not again:
        with open_ledger(ledger) as opened:
            refuse_repeat(plan, opened)
    client = connect()
    with open_ledger(ledger) as opened:
        plan = look_before(plan, client, opened, score, auto=auto_submit)
        assert plan.limits is not None
        say(plan.limits.describe())
        if plan.decision is not None:
            say(plan.decision.reason)
        is_sent = not dry_run and (plan.decision is None or plan.decision.is_worth_it)
        number = send(plan, client, opened, again=again) if is_sent else None
    if json:
        print_json(_as_document(plan, is_sent, number))
        return
    print_lines([f"sent to {slug} as number {number}" if is_sent else "nothing was sent"])


def _find_sample(slug: str) -> Path:
    from bert_playground.data.kaggle.submission_check import find_sample

    entry = find_entry(slug)
    for folder in (Path("data"), Path("data") / slug):
        found = find_sample(folder, None if entry is None else entry.sample_file)
        if found is not None:
            return found
    raise FileNotFoundError(
        f"no sample submission in data/ or data/{slug}; name it with --sample, or fetch it with `bert kaggle download {slug}`"
    )


def _say_plan(plan: "Plan") -> None:
    say(
        f"{plan.entry.file}: {plan.check.rows} rows, {', '.join(plan.check.columns)}: fits the sample"
    )
    for doubt in plan.check.doubts:
        say(f"look at it: {doubt}")
    say(f"message: {plan.entry.message}")


def _as_document(plan: "Plan", is_sent: bool, number: int | None) -> dict[str, object]:
    decision = plan.decision
    return {
        "sent": is_sent,
        "number": number,
        "competition": plan.entry.competition,
        "message": plan.entry.message,
        "doubts": plan.check.doubts,
        "left_today": plan.limits and plan.limits.left_today,
        "reason": None if decision is None else decision.reason,
    }
