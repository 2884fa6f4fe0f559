"""bert model pull: fetch a checkpoint from the Hugging Face Hub as a folder that answers rows."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_result, program

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="OWNER/NAME on the Hub", show_default=False)
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="NAME",
        help="branch, tag or commit (default: the newest)",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FOLDER",
        help="new folder to write (default: the name, in the current folder)",
        show_default=False,
    ),
]


def pull(
    name: Name,
    revision: Revision = None,
    output: Output = None,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Fetch a checkpoint from the Hugging Face Hub; `bert predict` takes the folder."""
    from bert_playground.export.pull import pull_model
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    pulled = pull_model(name, output, revision=revision)
    if json:
        print_json(pulled.__dict__)
        return
    print_lines(
        [
            f"{pulled.repo} at {pulled.revision}: {len(pulled.files)} files, {pulled.num_bytes / 2**20:,.1f} MiB",
            "",
            "next:",
            f"  {program()} predict --test test.csv --checkpoint {pulled.folder} --output submission.csv",
        ]
    )
    print_result(pulled.folder)
