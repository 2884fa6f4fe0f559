"""bert runs list: the runs of a folder, filtered and sorted."""

from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table
from bert_playground.cli.utils.run_choice import OUTPUT, RunsFolder

if TYPE_CHECKING:
    from bert_playground.run_list import RunEntry

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help='such as "val_accuracy>0.8" or "optimizer.learning_rate=3e-5"; may be repeated',
        show_default=False,
    ),
]
Task = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="only this task", show_default=False)
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="a part of the model's name", show_default=False),
]
Status = Annotated[
    str | None,
    typer.Option(
        "--status",
        metavar="NAME",
        help="complete, running, stopped or broken",
        show_default=False,
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort",
        metavar="NAME",
        help="a metric (best first), seconds, or a setting (default: newest first)",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="only the first N", show_default=False),
]


def list_(
    folder: RunsFolder = OUTPUT,
    where: Where = None,
    task: Task = None,
    model: Model = None,
    status: Status = None,
    sort: Sort = None,
    limit: Limit = None,
    json: options.Json = False,
) -> None:
    """List runs: what they were, what became of them, their metrics."""
    from bert_playground.run_list import choose, list_runs, sort_by

    entries = list_runs(folder)
    chosen = choose(entries, where=where or (), task=task, model=model, status=status)
    if sort is not None:
        chosen = sort_by(chosen, sort)
    shown = chosen[:limit]
    if json:
        print_json([entry.to_dict() for entry in shown])
        return
    if not shown:
        print_lines([f"no run in {folder}" if not entries else f"none of {len(entries)} runs fits"])
        return
    metrics = _metric_columns(shown, sort)
    facts = [
        name
        for name in ("kind", "target", "model")
        if len({entry.value(name) for entry in shown}) > 1
    ]
    print_table(
        f"{len(shown)} of {len(entries)} runs in {folder}{_say_common(shown, facts)}",
        ("run", "status", *facts, *(name.removeprefix("val_") for name in metrics)),
        [
            (entry.name, entry.status, *(entry.value(name) for name in (*facts, *metrics)))
            for entry in shown
        ],
        keeps_names=True,
    )
    broken = [entry for entry in shown if entry.fault and entry.status == "broken"]
    print_lines(f"{entry.name} cannot be read: {entry.fault}" for entry in broken)


def _metric_columns(entries: "list[RunEntry]", sort: str | None) -> list[str]:
    """What is sorted by, and the metric that people look at first of each task."""
    from bert_playground.tasks import TASKS

    tasks = {entry.value("task") for entry in entries}
    usual = [f"val_{TASKS[task].metric}" for task in sorted(filter(None, tasks)) if task in TASKS]
    # A run that is stopped before its end has not written down its task.
    first = [
        name for entry in entries for name in list(entry.metrics)[:2] if not entry.value("task")
    ]
    names = dict.fromkeys([*([sort] if sort else []), "val_loss", *usual, *first])
    kept: list[str] = []
    for name in names:
        is_new = name not in (f"val_{each}" for each in kept)
        if is_new and any(entry.value(name) is not None for entry in entries):
            kept.append(name)
    return kept[:5]


def _say_common(entries: "list[RunEntry]", facts: list[str]) -> str:
    """What all of them have in common, which takes no column."""
    common = [name for name in ("kind", "target", "model") if name not in facts]
    values = [str(value) for name in common if (value := entries[0].value(name))]
    return f": {', '.join(values)}" if values else ""
