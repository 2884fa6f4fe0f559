"""bert kaggle files: the files of a competition with their sizes."""

from dataclasses import asdict

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import Name, choose_competition, connect
from bert_playground.cli.utils.console import print_json, print_table


def files(name: Name = None, json: options.Json = False) -> None:
    """List the files of a competition."""
    slug = choose_competition(name)
    found = connect().list_files(slug)
    if json:
        print_json([asdict(each) for each in found])
        return
    rows = [(each.name, f"{each.num_bytes:,}", each.created) for each in found]
    print_table(slug, ("file", "bytes", "created (UTC)"), rows)
