"""CardFacts: what a card tells of its run, as card.json beside it: who pulled the folder can push it with a card of its own."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from bert_playground.documents import check, read_json
from bert_playground.run_record import Document, Environment, RunRecord, Settings, Summary
from bert_playground.runs import RunDir

FACTS = "card.json"
# What cards tell, and nothing else of the run: neither commands nor folders of its machine.
TOLD: dict[str, Any] = {
    "settings": {"values"},
    "environment": {"seed", "computed_by", "git_commit", "versions"},
    "summary": {
        "monitor",
        "baseline",
        "blend",
        "train_rows",
        "val_rows",
        "epochs",
        "steps",
        "trained_parameters",
        "precision",
        "seconds",
    },
}
OF_BLEND = ("metric", "score", "standard_error")


class CardFacts(Document):
    """What card.json holds.

    Attributes:
        card: the SHA-256 of the README.md that was written with it.
        metrics: of the checkpoint.
        settings: of the run, as far as cards tell them.
        environment: likewise.
        summary: likewise.
    """

    card: str
    metrics: dict[str, float] = Field(default_factory=dict)
    settings: Settings = Settings()
    environment: Environment = Environment()
    summary: Summary = Summary()

    def wrote(self, card: bytes) -> bool:
        """Whether nobody has changed the card since."""
        return hashlib.sha256(card).hexdigest() == self.card

    def record(self, folder: Path) -> RunRecord:
        """As the run would have it, whose other files are elsewhere."""
        return RunRecord(RunDir(folder), self.settings, self.environment, self.summary)


def write_facts(card: bytes, record: RunRecord | None, metrics: Mapping[str, float]) -> bytes:
    """The content of card.json.

    Args:
        card: the README.md.
        record: of the run that it tells of; None: there was none.
        metrics: that it shows.
    """
    told: dict[str, Any] = {}
    if record is not None:
        batch_size = {"training": {"batch_size": record.setting("training.batch_size")}}
        known = record.summary.blend
        blend = {name: known[name] for name in OF_BLEND if name in known}
        told = {
            "settings": Settings(values=batch_size),
            "environment": record.environment,
            "summary": record.summary.model_copy(update={"blend": blend}),
        }
    facts = CardFacts(card=hashlib.sha256(card).hexdigest(), metrics=dict(metrics), **told)
    values = facts.model_dump(include={"card": True, "metrics": True, **TOLD})
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def read_facts(folder: Path) -> CardFacts | None:
    """What lies beside the card of a folder; None: nothing.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / FACTS
    if not path.is_file():
        return None
    values = read_json(path)
    check(CardFacts, values, path)
    return CardFacts.model_validate(values)
