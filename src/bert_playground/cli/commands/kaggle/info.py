"""bert kaggle info: the facts of one competition, and what the registry knows of it."""

from dataclasses import asdict

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import Name, choose_competition, connect, find_entry
from bert_playground.cli.utils.console import print_json, print_table


def info(name: Name = None, json: options.Json = False) -> None:
    """Show a competition: metric, deadline, submissions a day, and what bert knows of its table."""
    slug = choose_competition(name)
    facts, entry = connect().describe(slug), find_entry(slug)
    known = {} if entry is None else entry.model_dump(mode="json", exclude_none=True)
    if json:
        print_json({"kaggle": asdict(facts), "registry": known})
        return
    print_table(slug, ("what", "value"), asdict(facts).items())
    if known:
        print_table("known here", ("what", "value"), known.items())
