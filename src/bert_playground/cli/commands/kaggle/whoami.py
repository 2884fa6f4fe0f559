"""bert kaggle whoami: the user that Kaggle sees, and where the credentials were found."""

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import connect
from bert_playground.cli.utils.console import print_json, print_lines


def whoami(json: options.Json = False) -> None:
    """Show as whom Kaggle knows you, and which credentials were used."""
    client = connect()
    username, used = client.whoami(), client.credentials
    if json:
        print_json({"username": username, "kind": used.kind, "source": used.source})
        return
    print_lines([f"{username}, by the {used}"])
