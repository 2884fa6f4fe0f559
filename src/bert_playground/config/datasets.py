"""DatasetEntry; load_datasets: the known data sets of datasets.yaml, those of the user's own file first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from bert_playground.lookup import look_up, name_neighbours, nearest

from .flags import choices_of
from .read import read_mapping
from .sections.data import SplitName, TaskName
from .sections.model import Architecture

DEFAULT = Path("datasets.yaml")
# pydantic's kind of mistake → what was expected.
EXPECTED = {
    "int_type": "expected a whole number",
    "string_type": "expected text",
    "frozen_set_type": "should be a list, such as [store, date, sales]",
}


class DatasetEntry(BaseModel):
    """What is known of a public competition or data set before its table is opened."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    target: Annotated[str, Field(min_length=1)] = Field(
        description="the column to predict, or several: a list, or between commas"
    )
    columns: Annotated[frozenset[str], Field(min_length=1)] = Field(
        description="some columns of its training table, enough to recognise it"
    )
    slug: str | None = Field(None, description="its name on Kaggle, where it is a competition")
    id_column: str | None = Field(None, description="None: inferred")
    task: TaskName | None = Field(None, description="None: inferred")
    metric: str | None = Field(
        None, description="the nearest one to the official metric; None: that of the task"
    )
    sample_file: str | None = Field(None, description="the name of its sample submission")
    split: SplitName | None = Field(
        None,
        description="how its folds are drawn, as `bert kaggle start` writes it; None: inferred",
    )
    group_column: str | None = Field(
        None, description="rows of one group stand on one side of a split"
    )
    time_column: str | None = Field(None, description="when a row happened, for a split by time")
    num_labels: StrictInt | None = Field(None, description="how many classes; None for numbers")
    architecture: Architecture = Field(
        "modernbert", description="the encoder that suits it from random weights"
    )
    pretrained: str | None = Field(
        None, description="a checkpoint worth starting from, where free text decides"
    )
    template: str = Field(
        "auto", description="a name in TEMPLATES that its rows are written by, unless one is asked"
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, entry: object) -> object:
        """A key without a value asks for nothing."""
        if not isinstance(entry, Mapping):
            return entry
        return {str(key): value for key, value in entry.items() if value is not None}

    @field_validator("target", mode="before")
    @classmethod
    def _join_columns(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list) else value


def load_datasets(path: Path | None = None) -> dict[str, DatasetEntry]:
    """Name → facts: the entries of a YAML file, then DATASETS.

    `columns` and `target` are needed, everything else is inferred where it is left out.

    Args:
        path: None: datasets.yaml in the working folder, if there is one.

    Raises:
        FileNotFoundError: a path was given, and there is no such file.
        ValueError: the file is no YAML, or entries have mistakes; all of them are listed.
    """
    if path is None and not DEFAULT.is_file():
        return DATASETS
    path = path or DEFAULT
    if not path.is_file():
        raise FileNotFoundError(
            f"no registry of data sets {str(path)!r}{name_neighbours(path)}; check data.registry"
        )
    own = _read(path)
    return {**own, **{name: facts for name, facts in DATASETS.items() if name not in own}}


def find_dataset(name: str) -> DatasetEntry:
    """The facts of a shipped data set, by its name here or its slug on Kaggle.

    Raises:
        ValueError: unknown; the message has the nearest name.
    """
    slugs = {facts.slug: facts for facts in DATASETS.values() if facts.slug is not None}
    return look_up(slugs | DATASETS, name, "competition")


def _read(path: Path) -> dict[str, DatasetEntry]:
    entries, faults = {}, []
    for name, entry in read_mapping(path).items():
        try:
            entries[name] = DatasetEntry.model_validate(entry)
        except ValidationError as error:
            faults += [f"{name}: {_fault(details)}" for details in error.errors()]
    if faults:
        raise ValueError(f"{path} has mistakes:\n  " + "\n  ".join(faults))
    return entries


def _fault(details: ErrorDetails) -> str:
    kind, value = details["type"], details["input"]
    name = str(details["loc"][0]) if details["loc"] else ""
    if kind == "model_type":
        return "expected keys under it such as columns: and target:"
    if kind == "extra_forbidden":
        return f"unknown key {name!r}{nearest(name, DatasetEntry.model_fields)}"
    if kind in ("missing", "too_short", "string_too_short"):
        return f"lacks {name!r}"
    if kind == "literal_error":
        known = sorted(choices_of(DatasetEntry.model_fields[name].annotation))
        return f"unknown {name} {value!r}{nearest(str(value), known)} (known: {', '.join(known)})"
    return f"{name} is {value!r}, {EXPECTED.get(kind, details['msg'])}"


DATASETS = _read(Path(__file__).with_name("datasets.yaml"))
