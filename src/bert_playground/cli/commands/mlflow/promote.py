"""bert mlflow promote: let an alias, such as champion, point at a version of a registered model."""

from dataclasses import asdict
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines
from bert_playground.cli.utils.tracking import StoreName, open_store

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="name of the registered model", show_default=False)
]
Number = Annotated[
    str,
    typer.Argument(
        metavar="VERSION", help="its number, or an alias that points at it", show_default=False
    ),
]
To = Annotated[str, typer.Option("--alias", metavar="NAME", help="that shall point at it")]


def promote(
    name: Name,
    version: Number,
    alias: To = "champion",
    store: StoreName = None,
    json: options.Json = False,
) -> None:
    """Let an alias point at a version of a registered model; what loads by the alias gets it from now on."""
    from bert_playground.tracking.registry import promote_model

    found, before = promote_model(open_store(store), name, version, alias)
    if json:
        print_json({**asdict(found), "before": before})
        return
    was = f", it was version {before}" if before not in (None, found.version) else ""
    print_lines([f"models:/{name}@{alias} is version {found.version}{was}"])
