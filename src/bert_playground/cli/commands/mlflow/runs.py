"""bert mlflow runs: what was tracked, with the metric that decides."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_table
from bert_playground.cli.utils.tracking import Experiment, Metric, StoreName, open_store

if TYPE_CHECKING:
    from bert_playground.tracking.browse import Run


class Status(StrEnum):
    """How a run stands."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


StatusName = Annotated[
    Status | None,
    typer.Option(
        "--status",
        metavar="NAME",
        case_sensitive=False,
        help="RUNNING, FINISHED, FAILED or KILLED (default: all)",
        show_default=False,
    ),
]
Nested = Annotated[
    bool, typer.Option("--nested", help="also folds and members", show_default=False)
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="newest runs shown")]


def runs(
    store: StoreName = None,
    experiment: Experiment = None,
    metric: Metric = None,
    status: StatusName = None,
    nested: Nested = False,
    limit: Limit = 20,
    json: options.Json = False,
) -> None:
    """List tracked runs, the newest first."""
    from bert_playground.tracking.browse import require_metric

    opened = open_store(store)
    found = opened.list_runs(
        experiment, status=None if status is None else status.value, nested=nested
    )
    if metric is not None:
        require_metric(found, metric)
    shown = found[:limit]
    if json:
        print_json([run.to_dict() for run in shown])
        return
    print_table(*_make_table(shown, len(found), metric))


def _make_table(
    shown: "list[Run]", num_all: int, metric: str | None
) -> tuple[str, tuple[str, ...], list[tuple[object, ...]]]:
    """Title, columns and rows; what is the same in all rows stands in the title."""
    from bert_playground.lookup import count_of
    from bert_playground.tracking.tracked_run import PREFIX

    names = [metric or run.tags.get(f"{PREFIX}monitor", "") for run in shown]
    columns = {
        "experiment": [run.experiment for run in shown],
        "kind": [run.kind for run in shown],
        "metric": names,
    }
    same = {what: values[0] for what, values in columns.items() if len(set(values)) == 1}
    title = ", ".join(f"{what} {value}" for what, value in same.items() if value)
    number = f"{len(shown)} of {num_all} runs" if len(shown) < num_all else count_of(num_all, "run")
    rest = {what: values for what, values in columns.items() if what not in same}
    table = {
        "run": [run.name for run in shown],
        "id": [run.run_id[:8] for run in shown],
        "status": [run.status.lower() for run in shown],
        "seconds": [None if run.seconds is None else round(run.seconds) for run in shown],
        **rest,
        "best": [run.metric(name) for run, name in zip(shown, names, strict=True)],
    }
    return f"{number}; {title}", tuple(table), list(zip(*table.values(), strict=True))
