"""bert runs compare: runs side by side, and whether one is shown to be better."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table, spell_setting
from bert_playground.cli.utils.run_choice import OUTPUT, ManyRuns, RunsFolder

if TYPE_CHECKING:
    from bert_playground.training.comparison.compare import Comparison

Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="PNG to draw: the curves over each other",
        show_default=False,
    ),
]


def compare(
    runs: ManyRuns,
    folder: RunsFolder = OUTPUT,
    plot: Plot = None,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Compare runs with the first of them: metrics, settings, and paired differences with their standard errors."""
    from bert_playground.logs import set_up_logs
    from bert_playground.run_list import find_runs
    from bert_playground.run_record import read_record
    from bert_playground.training.comparison.compare import compare_runs
    from bert_playground.training.comparison.draw import draw_comparison

    set_up_logs(log_level.value if log_level else "WARNING")
    found = [run for name in runs for run in find_runs(name, folder)]
    comparison = compare_runs(found)
    if plot is not None:
        draw_comparison(comparison.names, [read_record(run.path) for run in found], plot)
    if json:
        print_json(
            {
                "runs": [run.path for run in found],
                "metrics": comparison.metrics,
                "settings": comparison.settings,
                "paired": [each.to_dict() for each in comparison.paired],
                "untold": comparison.untold,
                "picture": plot,
            }
        )
        return
    _print(comparison)
    print_lines([f"drawn: {plot}"] if plot else [])


def _print(comparison: "Comparison") -> None:
    names = comparison.names
    print_table(
        f"{len(names)} runs",
        ("metric", *names),
        [(name, *row) for name, row in comparison.metrics.items()],
    )
    if comparison.settings:
        rows = [(path, *map(spell_setting, row)) for path, row in comparison.settings.items()]
        print_table("settings that differ", ("setting", *names), rows)
    else:
        print_lines(["no setting differs"])
    print_lines([each.say() for each in comparison.paired])
    print_lines(comparison.untold)
    if comparison.paired:
        print_lines(
            [
                "± is the standard error of the paired difference; beyond two of them a difference counts as shown."
            ]
        )
