"""bert mlflow doctor: whether runs can be tracked and looked at here, and what to do where not."""

from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table
from bert_playground.cli.utils.errors import BAD_INPUT
from bert_playground.cli.utils.tracking import OUTPUT, StoreName, choose_address, open_store

Upgrade = Annotated[
    bool,
    typer.Option(
        "--upgrade",
        help="copy the database, and bring it to the installed mlflow",
        show_default=False,
    ),
]
Restore = Annotated[
    str | None,
    typer.Option(
        "--restore", metavar="NAME", help="bring back a deleted experiment", show_default=False
    ),
]


def doctor(
    store: StoreName = None,
    upgrade: Upgrade = False,
    restore: Restore = None,
    json: options.Json = False,
) -> None:
    """Say whether the store can be reached, read and written, and what is missing; exit code 2 if something is."""
    from bert_playground.finding import BAD
    from bert_playground.tracking.doctor import diagnose, restore_experiment, upgrade_store

    if upgrade:
        copy = upgrade_store(choose_address(store))
        print_lines([f"upgraded; as it was: {copy}"] if not json else [])
    if restore is not None:
        restore_experiment(open_store(store), restore)
        print_lines([f"the experiment {restore!r} is back"] if not json else [])
    found = diagnose(store, OUTPUT)
    if json:
        print_json([each.to_dict() for each in found])
    else:
        rows = [(each.what, each.state, each.found, each.remedy) for each in found]
        print_table("MLflow", ("what", "state", "found", "to do"), rows)
    if any(each.state == BAD for each in found):
        raise typer.Exit(BAD_INPUT)
