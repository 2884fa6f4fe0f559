"""bert runs remove: delete run folders, after a question."""

import sys
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines
from bert_playground.cli.utils.run_choice import OUTPUT, ManyRuns, RunsFolder

Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask", show_default=False)]


def remove(
    runs: ManyRuns,
    folder: RunsFolder = OUTPUT,
    yes: Yes = False,
    json: options.Json = False,
) -> None:
    """Remove runs for good; a run that is underway, a member of another run, a link, or what is no run folder, stays."""
    from bert_playground.run_list import find_runs
    from bert_playground.run_removal import measure_size, remove_run, require_removable

    found = [run for name in runs for run in find_runs(name, folder)]
    for run in found:
        require_removable(run)
    sizes = {run: measure_size(run) for run in found}
    if not yes:
        if not sys.stdin.isatty():
            raise ValueError(
                f"nobody can be asked whether {len(found)} run folders may go; give --yes"
            )
        print_lines(f"{run.path}  {size / 2**20:,.1f} MiB" for run, size in sizes.items())
        typer.confirm("remove these for good?", abort=True)
    for run in found:
        remove_run(run)
    if json:
        print_json([{"removed": run.path, "bytes": size} for run, size in sizes.items()])
        return
    print_lines(f"removed {run.path}" for run in found)
