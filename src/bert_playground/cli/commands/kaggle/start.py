"""bert kaggle start: the folder of a competition: data, configuration, folds, what to type next."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import choose_competition, connect, find_entry
from bert_playground.cli.utils.console import print_json, print_lines, program, say

Competition = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="competition: its name or address on Kaggle, or its name in datasets.yaml",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FOLDER", help="folder to make (default NAME)", show_default=False
    ),
]
NumFolds = Annotated[int, typer.Option("--folds", metavar="K", min=2, help="number of folds")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="random seed of the folds")]
MaxSize = Annotated[
    float, typer.Option("--max-size", metavar="GIB", min=0, help="most GiB of unpacked data")
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="do not ask Kaggle: the data are in FOLDER/data already",
        show_default=False,
    ),
]


def start(
    name: Competition,
    output: Output = None,
    folds: NumFolds = 5,
    seed: Seed = 42,
    max_size: MaxSize = 20.0,
    offline: Offline = False,
    json: options.Json = False,
) -> None:
    """Make a project: data, bert.yaml, a folds file, a README of next commands; files that are there are kept."""
    from bert_playground.data.kaggle.unpack import GIB
    from bert_playground.logs import set_up_logs
    from bert_playground.training.kaggle.project import Project
    from bert_playground.training.kaggle.start import start_project

    set_up_logs(None)
    entry = find_entry(name)
    slug = (
        name if offline and entry is not None and entry.slug is None else choose_competition(name)
    )
    project = Project(output or Path(name if entry is not None else slug))
    steps = []
    for step in start_project(
        project,
        slug,
        None if offline else connect(),
        entry=entry or find_entry(slug),
        num_folds=folds,
        seed=seed,
        most_bytes=int(max_size * GIB),
    ):
        steps.append(step)
        detail = f" ({step.detail})" if step.detail else ""
        say(f"{step.what}: {step.path}{detail}")
    if json:
        print_json(
            {
                "project": project.path,
                "competition": slug,
                "steps": [{"path": s.path, "what": s.what, "detail": s.detail} for s in steps],
            }
        )
        return
    print_lines(
        [
            f"next, in {project.path} (all of it: {project.readme}):",
            f"  cd {project.path}",
            f"  {program()} kaggle run",
        ]
    )
