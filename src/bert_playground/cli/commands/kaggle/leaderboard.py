"""bert kaggle leaderboard: the best teams of the public leaderboard."""

from dataclasses import asdict
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import Name, choose_competition, connect
from bert_playground.cli.utils.console import print_json, print_table

Rows = Annotated[int, typer.Option("--rows", metavar="N", min=1, max=200, help="teams to show")]


def leaderboard(name: Name = None, rows: Rows = 20, json: options.Json = False) -> None:
    """Show the first teams of the public leaderboard."""
    slug = choose_competition(name)
    found = connect().leaderboard(slug, rows)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        slug,
        ("rank", "team", "score", "date (UTC)"),
        [(each.rank, each.team, each.score, each.date) for each in found],
    )
