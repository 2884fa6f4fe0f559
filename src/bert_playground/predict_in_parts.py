"""predict_in_parts: a large table answered by many workers into a folder of parts, which another call goes on with; merge_parts."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.kaggle.submission import match_sample
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.decompress import is_compressed
from bert_playground.data.reading.table import expand_paths, read_table
from bert_playground.data.reading.table_stream import TableStream, is_large, open_stream
from bert_playground.documents import read_json
from bert_playground.engines.engine import EngineRequest, open_engine
from bert_playground.files import write_text
from bert_playground.inference import AnyPredictor
from bert_playground.logger import logger
from bert_playground.lookup import count_of, shorten
from bert_playground.notebook_output import NotebookOutput, is_notebook
from bert_playground.outputs import open_output
from bert_playground.predict_table import say_rows_are_numbered
from bert_playground.prediction_parts import (
    Answering,
    Part,
    PartRecord,
    part_path,
    plan_parts,
    read_record,
)
from bert_playground.run_lock import hold_run
from bert_playground.runs import RunDir

MANIFEST = "manifest.json"
UNPACKED = ".unpacked"
WEIGHTS = (".safetensors", ".onnx", ".skops", ".cbm", ".txt")  # of all kinds of models
FORMAT = 1
TELL_SECONDS = 10.0


@dataclass(frozen=True)
class PartsRequest:
    """What is asked of a folder of parts.

    Attributes:
        source: the table: a file, or a pattern of several.
        folder: for the parts.
        load: gives the predictor, here and in each worker.
        part_rows: rows of a part; None: a large table in chunks as `bert predict` reads it, another one as one part.
        probabilities: see `predict_table`.
        sample: a sample submission that the answers must fit; None: none.
        num_variants: see `predict_table`.
        strict: see `predict_table`.
        settings: whatever else decides the answers, such as the precision.
    """

    source: Path
    folder: Path
    load: Callable[[], AnyPredictor]
    part_rows: int | None = None
    probabilities: bool = False
    sample: Path | None = None
    num_variants: int = 1
    strict: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PartsResult:
    """What is in the folder now.

    Attributes:
        folder: of the parts.
        checkpoint: that answered.
        target: the column of the answers.
        parts: their number.
        resumed: how many of them were there already.
        rows: that are answered.
        workers: that worked side by side.
        seconds: from the first part that was sent to the last one.
        peak_memory: bytes that a worker has held at most.
        drift: how the table differs from training.
    """

    folder: Path
    checkpoint: Path
    target: str
    parts: int
    resumed: int
    rows: int
    workers: int
    seconds: float
    peak_memory: int
    drift: list[dict[str, Any]]


def predict_in_parts(
    asked: PartsRequest, engine: EngineRequest, num_workers: int | None
) -> PartsResult:
    """Answer the rows of a table by many workers; the parts together are what `predict_table` gives, to the byte.

    What is complete is never answered again: a call that was stopped, even killed, goes on when it is made again.

    Args:
        asked: table, folder and model.
        engine: who works.
        num_workers: side by side; None: as many as there is room for.

    Raises:
        FileNotFoundError: table or checkpoint are not there.
        ValueError: they do not fit, the folder holds something else, or the engine has no room.
    """
    predictor = asked.load()
    pipeline, checkpoint = predictor.pipeline, predictor.checkpoint
    del predictor  # the workers have their own
    asked.folder.mkdir(parents=True, exist_ok=True)
    _require_ours(asked.folder)
    with hold_run(RunDir(asked.folder)):
        stream = _open_table(asked, pipeline)
        if stream is not None and pipeline.windows is None:
            say_rows_are_numbered(pipeline, stream.columns, asked.source)
        parts = plan_parts(asked.source, stream)
        manifest = _write_manifest(asked, checkpoint, parts)
        columns = () if asked.sample is None else tuple(read_table(asked.sample).columns)
        how = Answering(asked.load, asked.folder, asked.probabilities, columns, asked.num_variants)
        started = time.perf_counter()
        with open_engine(engine, num_workers, asked.folder / MANIFEST) as workers:
            records = {
                part.number: record
                for part in parts
                if (record := read_record(asked.folder, part.number))
            }
            resumed = len(records)
            missing = [part for part in parts if part.number not in records]
            if resumed:
                logger.info(f"{resumed} of {count_of(len(parts), 'part')} are there already")
            with closing(workers.map(how, missing)) as results:
                for record in _tell_progress(results, len(missing)):
                    records[record.number] = record
            num_found = workers.num_workers
        ordered = [records[part.number] for part in parts]
        drift = _join_drift(pipeline, ordered)
        seconds = time.perf_counter() - started
        complete = {**manifest, "is_complete": True, "rows": sum(each.rows for each in ordered)}
        write_text(asked.folder / MANIFEST, json.dumps(complete, indent=2) + "\n")
    return PartsResult(
        asked.folder,
        checkpoint,
        pipeline.target,
        len(parts),
        resumed,
        complete["rows"],
        num_found,
        seconds,
        max(record.peak_memory for record in ordered),
        [each.to_dict() for each in drift.conclude(str(asked.source), strict=asked.strict)],
    )


def _open_table(asked: PartsRequest, pipeline: TextPipeline) -> TableStream | None:
    """The chunks that become parts; None: the table is one part."""
    is_whole = asked.part_rows is None and not is_large(asked.source)
    if pipeline.windows is not None:
        logger.info("windows are cut from all rows of a series, so the table is one part")
        return None
    if is_whole:
        logger.info(
            "the table is small, and one part; --part-rows N cuts it into parts for several workers"
        )
        return None
    unpacked = asked.folder / UNPACKED  # where all workers find it
    shutil.rmtree(unpacked, ignore_errors=True)  # of a call that was killed
    if any(map(is_compressed, expand_paths(asked.source))):
        unpacked.mkdir()
    return open_stream(asked.source, chunk_rows=asked.part_rows, folder=unpacked)


def _require_ours(folder: Path) -> None:
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if others and MANIFEST not in others:
        raise ValueError(
            f"{folder} holds other files ({shorten(others)}) and no {MANIFEST}; give --output a new folder"
        )


def _write_manifest(asked: PartsRequest, checkpoint: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """What the folder answers; one that goes on must answer the same.

    Raises:
        ValueError: it answers something else; all differences are listed.
    """
    question = {
        "table": [_stamp(path) for path in expand_paths(asked.source)],
        "checkpoint": str(checkpoint.resolve()),
        "weights": [
            _stamp(path) for path in sorted(checkpoint.rglob("*")) if path.suffix in WEIGHTS
        ],
        "parts": len(parts),
        "probabilities": asked.probabilities,
        "variants": asked.num_variants,
        "part_rows": asked.part_rows,
        "sample": None if asked.sample is None else _stamp(asked.sample),
        **asked.settings,
    }
    path = asked.folder / MANIFEST
    if path.is_file():
        try:
            known = read_json(path)["question"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged; give --output a new folder") from error
        differing = [key for key in question if known.get(key) != question[key]]
        if differing:
            listed = "\n  ".join(
                f"{key}: {known.get(key)}, now {question[key]}" for key in differing
            )
            raise ValueError(
                f"{asked.folder} holds the answers to something else:\n  {listed}\nask the same, or give --output a new folder"
            )
    manifest = {"format": FORMAT, "question": question, "is_complete": False}
    write_text(path, json.dumps(manifest, indent=2) + "\n")
    return manifest


def _stamp(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"path": str(path), "bytes": found.st_size, "modified": found.st_mtime_ns}


def _tell_progress(results: Iterator[PartRecord], num_parts: int) -> Iterator[PartRecord]:
    started = told = time.perf_counter()
    rows = 0
    shown = NotebookOutput() if is_notebook() else None
    for number, record in enumerate(results, 1):
        rows += record.rows
        now = time.perf_counter()
        said = f"{number} of {count_of(num_parts, 'part')}, {rows / (now - started):,.0f} rows/s"
        if shown is not None:
            shown.draw(number, num_parts, said)
        if now - told > TELL_SECONDS:
            told = now
            logger.info(said)
        yield record


def _join_drift(pipeline: TextPipeline, records: Sequence[PartRecord]) -> TableDrift:
    drift = pipeline.watch_drift()
    for record in records:
        drift.add(record.drift)
    return drift


def merge_parts(result: PartsResult, output: Path, sample: Path | None = None) -> None:
    """Write the parts one after another into one CSV, which is what `bert predict` without parts writes.

    Args:
        result: of `predict_in_parts`.
        output: the file.
        sample: a sample submission that it must fit; None: none.

    Raises:
        ValueError: a part is not what was written, or the answers do not fit the sample.
    """
    paths = [part_path(result.folder, number) for number in range(result.parts)]
    with open_output(output) as file:
        for number, path in enumerate(paths):
            record = read_record(result.folder, number)
            content = b"" if record is None else path.read_bytes()
            if record is None or hashlib.sha256(content).hexdigest() != record.sha256:
                raise ValueError(
                    f"{path} is not what was written; remove it, and give the same command again"
                )
            file.write(content if number == 0 else content[content.index(b"\n") + 1 :])
        if sample is not None:
            match_sample(_read_parts(paths, sample), sample, result.target)


def _read_parts(paths: Sequence[Path], sample: Path) -> pl.DataFrame:
    """The answers of all parts; ids as text."""
    id_column = read_table(sample).columns[0]
    frames = [
        pl.read_csv(path, infer_schema_length=None, schema_overrides={id_column: pl.String})
        for path in paths
    ]
    return pl.concat(frames, how="vertical_relaxed")
