"""bert kaggle limits: how many submissions are left today."""

from dataclasses import asdict

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import Name, choose_competition, connect
from bert_playground.cli.utils.console import print_json, print_lines


def limits(name: Name = None, json: options.Json = False) -> None:
    """Show how many submissions are left today."""
    slug = choose_competition(name)
    found = connect().limits(slug)
    if json:
        print_json(asdict(found))
        return
    print_lines([f"{slug}: {found.describe()}"])
