"""bert kaggle run: models on every fold of the project, their blend, and a checked submission file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.commands.kaggle.submit import Auto
from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import (
    LedgerFile,
    choose_competition,
    connect,
    find_entry,
)
from bert_playground.cli.utils.console import print_json, print_lines, print_result, program, say

if TYPE_CHECKING:
    from bert_playground.training.kaggle.run_project import ProjectRun

New = Annotated[
    bool,
    typer.Option("--new", help="begin a new run, whatever is there", show_default=False),
]


@options.takes_settings(
    "--members --time --jobs --folds --repeats --blend --pseudo --model --pretrain --lora --ensemble --epochs --max-steps "
    "--batch-size --lr --metric --seed --no-compile --output-dir"
)
def run(
    context: typer.Context,
    new: New = False,
    auto_submit: Auto = False,
    ledger: LedgerFile = Path("ledger.sqlite"),
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Fit models on every fold by bert.yaml, blend them, and write a checked submission.csv; type it again to go on."""
    from bert_playground.cli.utils.blend_report import print_blend_report
    from bert_playground.cli.utils.tuner import find_tuner
    from bert_playground.logs import set_up_logs
    from bert_playground.training.kaggle.project import Project
    from bert_playground.training.kaggle.run_project import run_project
    from bert_playground.training.kaggle.start import find_tables

    set_up_logs(log_level)
    project, slug = Project(), choose_competition(None)
    if not project.config.is_file():
        raise FileNotFoundError(
            f"{project.config} is missing; make it again with `bert kaggle start {slug} --output .`"
        )
    config, sources = options.read_config(context, project.config)
    tables = find_tables(project.data, find_entry(slug), config.data.train)
    done = run_project(project, tables, config, sources, new=new, tune=find_tuner())
    for doubt in done.check.doubts if done.check else ():
        say(f"look at it: {doubt}")
    number = _send(done, slug, tables.sample, ledger) if auto_submit else None
    if json:
        print_json({**done.summary, "submission": done.submission, "sent": number})
        return
    print_blend_report(done.summary, str(tables.test or "test.csv"))
    if done.submission is not None:
        print_lines(
            [
                f"{project.submission} is that of {_from_here(done.submission)}",
                f"  {program()} kaggle submit {project.submission} --run {_from_here(done.run.path)}",
            ]
        )
        print_result(project.submission)


def _from_here(path: Path) -> Path:
    """The path as it is shorter to type in this folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _send(done: "ProjectRun", slug: str, sample: Path | None, ledger: Path) -> int | None:
    """Send the answers if the rule of --auto-submit says so."""
    from bert_playground.training.kaggle.ledger import open_ledger
    from bert_playground.training.kaggle.project import Project
    from bert_playground.training.kaggle.run_score import read_run_score
    from bert_playground.training.kaggle.submit import look_before, plan_submission, send

    Project().refuse_file(slug)
    if done.submission is None or sample is None:
        raise ValueError(
            "nothing to submit: the project has no table to predict, or no sample submission"
        )
    score = read_run_score(done.run.path)
    plan = plan_submission(slug, done.submission, sample, score=score)
    client = connect()
    with open_ledger(ledger) as opened:
        plan = look_before(plan, client, opened, score, auto=True)
        assert plan.limits is not None
        assert plan.decision is not None
        say(f"{plan.limits.describe()}\n{plan.decision.reason}")
        if not plan.decision.is_worth_it:
            say("nothing was sent")
            return None
        number = send(plan, client, opened)
    say(f"sent to {slug} as number {number}")
    return number
