"""bert mlflow compare: what differs between tracked runs, settings and metrics side by side."""

from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table
from bert_playground.cli.utils.tracking import StoreName, open_store

RunNames = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN…", help="two or more: ids, names, or run folders", show_default=False
    ),
]


def compare(runs: RunNames, store: StoreName = None, json: options.Json = False) -> None:
    """Compare tracked runs: settings that differ, and metrics."""
    from bert_playground.tracking.browse import compare_runs

    if len(runs) < 2:
        raise ValueError(f"one run, {runs[0]!r}, cannot be compared; name two or more")
    opened = open_store(store)
    found = [opened.find_run(run) for run in runs]
    table = compare_runs(found)
    if json:
        print_json({"runs": [{"name": run.name, "run_id": run.run_id} for run in found], **table})
        return
    names = [f"{run.name} ({run.run_id[:6]})" for run in found]
    for what in ("settings", "results", "metrics"):
        title = what if what == "metrics" else f"{what} that differ"
        rows = [(name, *row) for name, row in table[what].items()]
        if rows:
            print_table(title, (what, *names), rows)
    digests = table["tables"]["training"]
    if len(set(digests)) > 1:
        listed = ", ".join(str(digest) for digest in digests)
        print_lines([f"they did not read the same training table: sha256 {listed}"])
