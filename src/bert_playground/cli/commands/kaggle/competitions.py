"""bert kaggle competitions: competitions by words in their names, or those that were entered."""

from dataclasses import asdict
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import connect
from bert_playground.cli.utils.console import print_json, print_table

Search = Annotated[
    str, typer.Option("--search", metavar="WORDS", help="words in the name", show_default=False)
]
Entered = Annotated[
    bool, typer.Option("--entered", help="only those that you entered", show_default=False)
]
Page = Annotated[int, typer.Option("--page", metavar="N", min=1, help="of twenty")]


def competitions(
    search: Search = "", entered: Entered = False, page: Page = 1, json: options.Json = False
) -> None:
    """List competitions."""
    found = connect().list_competitions(search, "entered" if entered else "all", page)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        f"competitions, page {page}",
        ("name", "title", "metric", "deadline (UTC)", "teams", "entered"),
        [
            (c.slug, c.title, c.metric, c.deadline, c.teams, "yes" if c.entered else "")
            for c in found
        ],
    )
