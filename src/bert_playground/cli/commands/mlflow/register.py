"""bert mlflow register: the model of a tracked run as a version in the registry."""

from dataclasses import asdict
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines
from bert_playground.cli.utils.tracking import Alias, RunName, StoreName, open_store

Name = Annotated[
    str, typer.Option("--name", metavar="NAME", help="of the registered model", show_default=False)
]


def register(
    run: RunName,
    name: Name,
    alias: Alias = None,
    store: StoreName = None,
    json: options.Json = False,
) -> None:
    """Make the model of a run the next version of a registered model."""
    from bert_playground.tracking.registry import register_model

    opened = open_store(store)
    made = register_model(opened, opened.find_run(run), name, alias)
    if json:
        print_json(asdict(made))
        return
    uri = f"models:/{name}@{alias}" if alias else made.uri
    print_lines(
        [f"{name} has version {made.version}; load it by mlflow.pyfunc.load_model({uri!r})"]
    )
