"""TrackedTable: a table of a run for MLflow, with the digest of its bytes, which `sha256sum` gives too."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

DIGEST_LENGTH = 16  # characters of the SHA-256; MLflow takes up to 36


@dataclass(frozen=True)
class TrackedTable:
    """A file of rows.

    Attributes:
        path: of the file.
        columns: their names.
        targets: those of them that are learned.
        num_rows: that were used; None: not counted.
    """

    path: Path
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    num_rows: int | None = None

    @property
    def name(self) -> str:
        """The folder and the file, such as titanic/train.csv."""
        return "/".join(self.path.resolve().parts[-2:])


def digest_file(path: Path) -> str:
    """The first letters of the SHA-256 of a file, read in pieces, and once for all members of an ensemble."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]


def make_input(table: TrackedTable, context: str) -> Any:
    """The table as an input of a run, what mlflow.data makes of a file.

    Raises:
        OSError: the file is gone.
    """
    from mlflow.data.sources import LocalArtifactDatasetSource
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = LocalArtifactDatasetSource(str(table.path.resolve()))
    columns = [
        {"name": name, "type": "string", "required": name not in table.targets}
        for name in table.columns
    ]
    profile = {"num_rows": table.num_rows, "num_columns": len(table.columns) or None}
    dataset = Dataset(
        name=table.name[:500],
        digest=digest_file(table.path),
        source_type=source._get_source_type(),
        source=source.to_json(),
        schema=json.dumps({"mlflow_colspec": columns}) if columns else None,
        profile=json.dumps({name: value for name, value in profile.items() if value is not None}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
