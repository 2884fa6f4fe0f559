"""Project: the folder of one competition, and the facts about it that commands in it go by."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bert_playground.data.kaggle.records import Competition
from bert_playground.files import write_text
from bert_playground.training.kaggle.ledger import LEDGER_NAME

FACTS_NAME = "competition.json"


@dataclass(frozen=True)
class Facts:
    """What Kaggle says of a competition that does not change from day to day.

    Attributes:
        slug: its name on Kaggle.
        title: for people.
        metric: in Kaggle's words.
        deadline: in UTC.
        daily_submissions: the most.
        is_code: whether notebooks are submitted, not files.
    """

    slug: str
    title: str | None = None
    metric: str | None = None
    deadline: str | None = None
    daily_submissions: int | None = None
    is_code: bool = False

    @classmethod
    def of(cls, competition: Competition) -> "Facts":
        """Those of Kaggle's answer."""
        return cls(**{field.name: getattr(competition, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class Project:
    """The folder that `bert kaggle start` makes; the only place that joins its path strings."""

    path: Path = Path()

    @property
    def facts(self) -> Path:
        """What Kaggle says of the competition."""
        return self.path / FACTS_NAME

    @property
    def data(self) -> Path:
        """The files of the competition."""
        return self.path / "data"

    @property
    def config(self) -> Path:
        """The configuration of every run."""
        return self.path / "bert.yaml"

    @property
    def folds(self) -> Path:
        """The folds that all models share."""
        return self.path / "folds.csv"

    @property
    def readme(self) -> Path:
        """What to type next."""
        return self.path / "README.md"

    @property
    def ledger(self) -> Path:
        """What was sent."""
        return self.path / LEDGER_NAME

    @property
    def submission(self) -> Path:
        """The answers of the last run."""
        return self.path / "submission.csv"

    def read_facts(self) -> Facts | None:
        """What `write_facts` wrote; None: this is no project.

        Raises:
            ValueError: the file is damaged.
        """
        if not self.facts.is_file():
            return None
        try:
            values = json.loads(self.facts.read_text(encoding="utf-8"))
            return Facts(
                **{name: value for name, value in values.items() if name in _FIELDS and value}
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.facts} is damaged ({error}); remove it, and repeat `bert kaggle start NAME`"
            ) from error

    def refuse_file(self, slug: str) -> None:
        """Stop where a file is to be sent to a competition that takes notebooks.

        Raises:
            ValueError: it is the project's, and does.
        """
        facts = self.read_facts()
        if facts is not None and facts.slug == slug and facts.is_code:
            raise ValueError(
                f"{slug!r} is a code competition: it takes a notebook, not a file; pack the run with `bert kaggle pack RUN`"
            )

    def write_facts(self, facts: Facts) -> None:
        """Whole or not at all."""
        write_text(self.facts, json.dumps(asdict(facts), indent=2) + "\n")


_FIELDS = {field.name for field in fields(Facts)}
