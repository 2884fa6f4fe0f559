"""bert kaggle pack: a data set and a notebook that predict on Kaggle without network, for code competitions."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import Competition, choose_competition, find_entry
from bert_playground.cli.utils.completion import complete_checkpoints
from bert_playground.cli.utils.console import print_json, print_lines, print_result

Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="run folder or checkpoint",
        show_default=False,
        autocompletion=complete_checkpoints,
    ),
]
Output = Annotated[Path, typer.Option("--output", metavar="FOLDER", help="folder to make")]
Owner = Annotated[
    str | None,
    typer.Option(
        "--owner",
        metavar="USER",
        help="your name on Kaggle (default: that of the credentials)",
        show_default=False,
    ),
]
Wheels = Annotated[
    Path | None,
    typer.Option(
        "--wheels",
        metavar="FOLDER",
        help="wheels of bert-playground and what it needs, for Kaggle's Python (default: the README says how to fetch them)",
        show_default=False,
    ),
]


def pack(
    run: Run,
    competition: Competition = None,
    output: Output = Path("pack"),
    owner: Owner = None,
    wheels: Wheels = None,
    json: options.Json = False,
) -> None:
    """Pack a run for a code competition: a data set with checkpoint and wheels, and a notebook that predicts offline."""
    from bert_playground.training.kaggle.pack import pack_run
    from bert_playground.training.kaggle.project import Project
    from bert_playground.training.kaggle.start import find_tables

    slug = choose_competition(competition)
    entry, project = find_entry(slug), Project()
    names = {}
    if project.data.is_dir():
        tables = find_tables(project.data, entry)
        names = {"test": tables.test, "sample": tables.sample}
    packed = pack_run(
        run,
        output,
        slug,
        owner=owner or _own_name(),
        wheels=wheels,
        **{what: path.name for what, path in names.items() if path is not None},
    )
    if json:
        print_json({"output": output, "checkpoint": packed, "competition": slug})
        return
    print_lines([f"{packed} is packed in {output}", f"next: {output / 'README.md'}"])
    print_result(output)


def _own_name() -> str | None:
    from bert_playground.data.kaggle.credentials import find_credentials

    try:
        return find_credentials().username
    except ValueError:
        return None
