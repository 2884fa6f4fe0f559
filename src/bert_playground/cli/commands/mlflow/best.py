"""bert mlflow best: the tracked run with the best value of a metric."""

from enum import StrEnum
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, program, spell
from bert_playground.cli.utils.tracking import (
    Experiment,
    Metric,
    StoreName,
    maximized_metrics,
    open_store,
)


class Mode(StrEnum):
    """Which values are better."""

    MAX = "max"
    MIN = "min"


ModeName = Annotated[
    Mode | None,
    typer.Option(
        "--mode",
        metavar="NAME",
        help="max or min (default: the metric's own direction)",
        show_default=False,
    ),
]


def best(
    store: StoreName = None,
    experiment: Experiment = None,
    metric: Metric = None,
    mode: ModeName = None,
    json: options.Json = False,
) -> None:
    """Find the finished run with the best value of a metric."""
    from bert_playground.tracking.browse import best_run
    from bert_playground.tracking.tracked_run import PREFIX

    found = open_store(store).list_runs(experiment)
    run, name, direction = best_run(
        found, metric, None if mode is None else mode.value, maximized_metrics()
    )
    value = run.metric(name)
    if json:
        print_json({"metric": name, "mode": direction, "value": value, **run.to_dict()})
        return
    what = "most" if direction == "max" else "least"
    print_lines(
        [
            f"{run.name} has the {what} {name}: {spell(value)}   ({run.run_id})",
            f"folder  {run.tags.get(f'{PREFIX}run', 'unknown')}",
            f"next    {program()} mlflow register {run.run_id[:8]} --name NAME --alias champion",
        ]
    )
