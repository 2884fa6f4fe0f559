"""load_datasets: the known data sets, those of the user's own datasets.yaml first."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

from bert_playground.competitions import COMPETITIONS, Competition
from bert_playground.lookup import look_up, nearest
from bert_playground.tasks import TASKS

from .read import read_mapping
from .schema import ModelSection

ARCHITECTURES = get_args(ModelSection.model_fields["architecture"].annotation)
COUNTS = ("num_labels",)
DEFAULT = Path("datasets.yaml")
PLAIN: dict[str, Any] = {"slug": None, "id_column": None, "task": None, "metric": None}


def load_datasets(path: Path | None = None) -> dict[str, Competition]:
    """Name → facts: the entries of a YAML file, then COMPETITIONS.

    An entry has the fields of Competition; `columns` and `target` are needed, everything else is inferred where it is
    left out.

    Args:
        path: None: datasets.yaml in the working folder, if there is one.

    Raises:
        FileNotFoundError: a path was given, and there is no such file.
        ValueError: the file is no YAML, or entries have mistakes; all of them are listed.
    """
    if path is None and not DEFAULT.is_file():
        return COMPETITIONS
    path = path or DEFAULT
    if not path.is_file():
        raise FileNotFoundError(f"no registry of data sets {str(path)!r}; check data.registry")
    entries = read_mapping(path)
    faults = [f"{name}: {fault}" for name, entry in entries.items() for fault in _faults(entry)]
    if faults:
        raise ValueError(f"{path} has mistakes:\n  " + "\n  ".join(faults))
    own = {name: _make(entry) for name, entry in entries.items()}
    return {**own, **{name: facts for name, facts in COMPETITIONS.items() if name not in own}}


def _faults(entry: object) -> list[str]:
    if not isinstance(entry, Mapping):
        return ["expected keys under it such as columns: and target:"]
    known = {field.name: field for field in fields(Competition)}
    needed = [
        name for name, field in known.items() if field.default is MISSING and name not in PLAIN
    ]
    faults = [
        f"unknown key {name!r}{nearest(str(name), known)}" for name in entry if name not in known
    ]
    faults += [f"lacks {name!r}" for name in needed if not entry.get(name)]
    if not isinstance(entry.get("columns", []), list):
        faults.append("columns should be a list, such as [store, date, sales]")
    faults += [
        f"{name} is {entry[name]!r}, expected {'a whole number' if name in COUNTS else 'text'}"
        for name in known
        if name != "columns" and entry.get(name) is not None and not _fits(name, entry[name])
    ]
    if entry.get("architecture") is not None:
        try:
            look_up(dict.fromkeys(ARCHITECTURES), str(entry["architecture"]), "architecture")
        except ValueError as error:
            faults.append(str(error))
    if entry.get("task") is not None:
        try:
            look_up(TASKS, str(entry["task"]), "task")
        except ValueError as error:
            faults.append(str(error))
    return faults


def _fits(name: str, value: object) -> bool:
    """Whether a YAML value can stand for a field; names of columns may look like numbers, and targets be several."""
    if name in COUNTS:
        return isinstance(value, int) and not isinstance(value, bool)
    values = value if name == "target" and isinstance(value, list) else [value]
    return all(isinstance(each, str | int | float) for each in values)


def _make(entry: Mapping[str, Any]) -> Competition:
    target = entry["target"]
    target = ",".join(map(str, target)) if isinstance(target, list) else str(target)
    columns = frozenset(map(str, entry["columns"]))
    given = {name: value for name, value in entry.items() if value is not None}
    return Competition(**{**PLAIN, **given, "target": target, "columns": columns})
