"""Parameters that name runs: a path, a name in the folder of runs, a pattern, or `latest`."""

from pathlib import Path
from typing import Annotated

import typer

from .completion import complete_runs

_MEANING = "path, name in the folder of runs, pattern such as 'run_202611*', or latest"
OneRun = Annotated[str, typer.Argument(metavar="RUN", help=_MEANING, autocompletion=complete_runs)]
ManyRuns = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...", help=_MEANING, show_default=False, autocompletion=complete_runs
    ),
]
RunsFolder = Annotated[
    Path, typer.Option("--output-dir", "--output", metavar="FOLDER", help="folder of runs")
]
OUTPUT = Path("output")
