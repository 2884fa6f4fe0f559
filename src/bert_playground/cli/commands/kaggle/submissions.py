"""bert kaggle submissions: what was sent and how it scored; the ledger takes the scores over."""

from dataclasses import asdict
from pathlib import Path

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import LedgerFile, Name, choose_competition, connect
from bert_playground.cli.utils.console import print_json, print_lines, print_table, say


def submissions(
    name: Name = None,
    ledger: LedgerFile = Path("ledger.sqlite"),
    json: options.Json = False,
) -> None:
    """List the latest submissions with their scores, and write these into the ledger if there is one."""
    from bert_playground.lookup import count_of
    from bert_playground.training.kaggle.ledger import open_ledger

    slug = choose_competition(name)
    found = connect().list_submissions(slug)
    if ledger.is_file():
        with open_ledger(ledger) as opened:
            changed = opened.take_scores(slug, found)
        if changed:
            say(f"{ledger}: {count_of(changed, 'row')} changed")
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        slug,
        ("number", "date (UTC)", "file", "status", "public", "private", "message"),
        [
            (s.ref, s.date, s.file_name, s.status, s.public_score, s.private_score, s.message)
            for s in found
        ],
    )
    print_lines([f"{each.file_name}: {each.fault}" for each in found if each.fault])
