"""plan_parts, answer_part: a table of rows as parts that any worker answers alone, each written with a record of what it holds."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bert_playground.data.drift.compare import plan_sample
from bert_playground.data.kaggle.submission import spell_booleans
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import Chunk, TableStream
from bert_playground.documents import read_json
from bert_playground.files import replaced_file, write_text
from bert_playground.inference import AnyPredictor
from bert_playground.memory import peak_memory_bytes
from bert_playground.predict_table import answer_rows

WIDTH = 6  # digits of a part's number


@dataclass(frozen=True)
class Part:
    """Some consecutive rows of the table.

    Attributes:
        number: of the part, from 0 on.
        source: the table, where it is one part.
        chunk: where the rows lie; None: all of the table.
        sample: [K] places of the rows that are kept to compare distributions with training; None: chosen as for a whole table.
    """

    number: int
    source: str
    chunk: Chunk | None
    sample: np.ndarray | None


@dataclass(frozen=True)
class PartRecord:
    """What was written of a part.

    Attributes:
        number: of the part.
        rows: that were answered.
        num_bytes: of its file.
        sha256: of its file.
        peak_memory: bytes that the worker has held at most so far.
        drift: what differs from training, see `TableDrift.to_dict`.
    """

    number: int
    rows: int
    num_bytes: int
    sha256: str
    peak_memory: int
    drift: dict[str, Any]


@dataclass(frozen=True)
class Answering:
    """How parts are answered; an engine sends it to its workers, each of which loads the model once.

    Attributes:
        load: gives the predictor.
        folder: for the files.
        probabilities: see `predict_table`.
        sample_columns: see `predict_table`; where the answers have the same, they are written in this order.
        num_variants: see `predict_table`.
    """

    load: Callable[[], AnyPredictor]
    folder: Path
    probabilities: bool = False
    sample_columns: tuple[str, ...] = ()
    num_variants: int = 1

    def __call__(self) -> Callable[[Part], PartRecord]:
        """Load the model, and give what answers a part."""
        predictor = self.load()
        return lambda part: answer_part(self, predictor, part)


def plan_parts(source: Path, stream: TableStream | None) -> list[Part]:
    """The parts of a table in the order of its rows.

    Args:
        source: the table.
        stream: its chunks, which become the parts; None: it is one part.
    """
    if stream is None:
        return [Part(0, str(source), None, None)]
    chunks = [_without_owner(chunk) for chunk in stream.chunks]
    samples = plan_sample([chunk.num_rows for chunk in chunks])
    return [
        Part(number, str(source), chunk, sample)
        for number, (chunk, sample) in enumerate(zip(chunks, samples, strict=True))
    ]


def _without_owner(chunk: Chunk) -> Chunk:
    """What keeps a decompressed file alive stays in this process."""
    return replace(chunk, reader=replace(chunk.reader, owner=None))


def answer_part(how: Answering, predictor: AnyPredictor, part: Part) -> PartRecord:
    """Answer the rows of a part; its file and then its record appear, each whole or not at all.

    A part that is there already is left as it is.

    Raises:
        ValueError: the table has changed, or its rows cannot be answered; see `predict_table`.
    """
    if (found := read_record(how.folder, part.number)) is not None:
        return found
    frame = read_table(Path(part.source)) if part.chunk is None else part.chunk.read()
    drift = predictor.pipeline.watch_drift()
    if part.sample is not None:
        drift.keep_only(part.sample)
    answers = answer_rows(
        predictor,
        frame,
        probabilities=how.probabilities,
        sample_columns=how.sample_columns,
        num_variants=how.num_variants,
        drift=drift,
        first_row=0 if part.chunk is None else part.chunk.first_row,
    )
    if set(how.sample_columns) == set(answers.columns):
        answers = answers.select(how.sample_columns)
    content = spell_booleans(answers).write_csv().encode()
    answered = part_path(how.folder, part.number)
    with replaced_file(answered) as path:
        path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    record = PartRecord(
        part.number, answers.height, len(content), digest, peak_memory_bytes(), drift.to_dict()
    )
    write_text(answered.with_suffix(".json"), json.dumps(asdict(record)) + "\n")
    return record


def part_path(folder: Path, number: int) -> Path:
    """The file of a part; its record lies beside it, as .json."""
    return folder / f"part-{number:0{WIDTH}d}.csv"


def read_record(folder: Path, number: int) -> PartRecord | None:
    """The record of a part that was answered; None: it was not, or its file is gone or cut off."""
    path = part_path(folder, number)
    try:
        record = PartRecord(**read_json(path.with_suffix(".json")))
        is_whole = path.stat().st_size == record.num_bytes
    except (OSError, ValueError, TypeError):
        return None
    return record if is_whole else None
