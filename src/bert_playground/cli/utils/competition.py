"""What the commands of `bert kaggle` share: which competition is meant, and who asks."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import say

if TYPE_CHECKING:
    from bert_playground.config.datasets import DatasetEntry
    from bert_playground.data.kaggle.client import KaggleClient

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="competition: its name on Kaggle or in datasets.yaml (default: that of the project in this folder)",
        show_default=False,
    ),
]
Competition = Annotated[
    str | None,
    typer.Option(
        "--competition",
        metavar="NAME",
        help="its name on Kaggle or in datasets.yaml (default: that of the project in this folder)",
        show_default=False,
    ),
]
LedgerFile = Annotated[
    Path, typer.Option("--ledger", metavar="FILE", help="what was sent, and its scores")
]


def choose_competition(name: str | None) -> str:
    """The name on Kaggle of the competition that is meant.

    Raises:
        ValueError: none is named, and this folder is no project; or the data set is no competition.
    """
    from bert_playground.training.kaggle.project import Project

    if name is None:
        facts = Project().read_facts()
        if facts is None:
            raise ValueError(
                "no competition named, and this folder is no project; give its name, or make a project with "
                "`bert kaggle start NAME`"
            )
        return facts.slug
    name = _from_address(name)
    entry = find_entry(name)
    if entry is not None and entry.slug is None:
        raise ValueError(f"{name!r} is a known data set, but no competition on Kaggle")
    if entry is None and not re.fullmatch(r"[\w-]+", name):
        raise ValueError(
            f"{name!r} is no name of a competition, such as spaceship-titanic; copy it from its address on Kaggle"
        )
    return name if entry is None or entry.slug is None else entry.slug


def find_entry(name: str) -> "DatasetEntry | None":
    """What the registry knows by this name, or by this name on Kaggle."""
    from bert_playground.config.datasets import load_datasets

    datasets = load_datasets()
    by_slug = {entry.slug: entry for entry in datasets.values() if entry.slug}
    return datasets.get(name) or by_slug.get(name)


def connect() -> "KaggleClient":
    """Sign in with the credentials of this machine; the log is set up too, for warnings.

    Raises:
        ValueError: there are none, or the kaggle package is not installed.
    """
    from bert_playground.config.datasets import load_datasets
    from bert_playground.data.kaggle.client import KaggleClient
    from bert_playground.logs import set_up_logs

    set_up_logs(None)
    known = [entry.slug for entry in load_datasets().values() if entry.slug]
    return KaggleClient.connect(known)


def take_scores(ledger: Path, competition: str, client: "KaggleClient") -> None:
    """Write the scores that Kaggle has by now into the ledger, and say so."""
    from bert_playground.lookup import count_of
    from bert_playground.training.kaggle.ledger import open_ledger

    if not ledger.is_file():
        return
    with open_ledger(ledger) as opened:
        changed = opened.take_scores(competition, client.list_submissions(competition))
    if changed:
        say(f"{ledger}: {count_of(changed, 'row')} changed")


def _from_address(name: str) -> str:
    """The name in a pasted address, such as https://www.kaggle.com/competitions/titanic/overview."""
    parts = name.split("/")
    if "kaggle.com" not in name:
        return name
    start = next((i for i, part in enumerate(parts) if part in ("competitions", "c")), None)
    return parts[start + 1] if start is not None and start + 1 < len(parts) else name
