"""bert mlflow export: a tracked run as files: settings, all metric values, artifacts, model."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_result
from bert_playground.cli.utils.tracking import RunName, StoreName, open_store

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FOLDER",
        help="to make (default: mlflow_ and the run's name)",
        show_default=False,
    ),
]


def export(
    run: RunName, output: Output = None, store: StoreName = None, json: options.Json = False
) -> None:
    """Write a tracked run as files that need no MLflow: run.json, metrics.csv, artifacts, model."""
    from bert_playground.tracking.browse import export_run

    opened = open_store(store)
    found = opened.find_run(run)
    folder = output or Path(f"mlflow_{found.name}")
    counts = export_run(opened, found, folder)
    if json:
        print_json({"output": folder, **counts})
        return
    print_lines(
        [
            f"{folder}: run.json, metrics.csv with {counts['values']} values, {counts['artifacts']} artifacts, "
            f"{counts['model_files']} files of the model"
        ]
    )
    print_result(folder)
