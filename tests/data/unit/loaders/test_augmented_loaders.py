"""Loaders of rows that change: the same batches for any threads, chunks and processes, from any batch on."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.augmentation.augmentation import SHARES, Augmentation
from bert_playground.data.core.types import Batch, Loader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table_stream import open_stream
from tests.fitting import fit_pipeline

ROWS = 90
FRAME = pl.DataFrame(
    {
        "town": [("ulm", "bonn", "kiel")[i % 3] for i in range(ROWS)],
        "age": [str(20 + i % 61) for i in range(ROWS)],
        "note": [" ".join(["word"] * (i % 7)) or None for i in range(ROWS)],
        "bought": [("no", "yes")[i // 2 % 2] for i in range(ROWS)],
    }
)


@pytest.fixture(scope="module")
def pipeline() -> TextPipeline:
    options = DataSection(target="bought", template="key_value", text_columns=("note",))
    changes = Augmentation(**dict.fromkeys(SHARES, 0.4))
    return fit_pipeline(FRAME, options, augmentation=changes, vocab_size=300)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "train.csv"
    FRAME.write_csv(path)
    return path


def content(batches: list[Batch]) -> list[tuple]:
    """All that a batch holds."""
    return [
        (
            np.array(batch.rows).tolist(),
            np.array(batch.labels).tolist(),
            *(None if each is None else np.array(each).tolist() for each in batch.tokens),
        )
        for batch in batches
    ]


def rows_by_number(loader: Loader, epoch: int) -> dict[int, list[int]]:
    """The ids of each row, of padded batches."""
    found = {}
    for batch in loader.iterate(epoch):
        ids, mask = np.array(batch.tokens.input_ids), np.array(batch.tokens.attention_mask)
        for row, line, real in zip(np.array(batch.rows), ids, mask, strict=True):
            found[int(row)] = line[real].tolist()
    return found


def make(pipeline: TextPipeline, **options: object):
    loader = pipeline.make_loader(
        FRAME, batch_size=8, shuffle=True, seed=4, augmented=True, **options
    )
    loader.layout = "padded"
    return loader


def stream(pipeline: TextPipeline, path: Path, chunk_rows: int = 11, **options: object):
    loader = pipeline.make_streaming_loader(
        open_stream(path, chunk_rows=chunk_rows),
        augmented_from=FRAME,
        batch_size=8,
        shuffle=True,
        seed=4,
        buffer_chunks=3,
        **options,
    )
    loader.layout = "padded"
    return loader


@pytest.mark.medium
def test_threads_change_nothing(pipeline: TextPipeline, path: Path) -> None:
    for make_one in (lambda **o: make(pipeline, **o), lambda **o: stream(pipeline, path, **o)):
        plain = content(list(make_one(prefetch_size=0).iterate(1)))
        assert content(list(make_one(prefetch_size=3, num_workers=3).iterate(1))) == plain


@pytest.mark.medium
def test_an_epoch_goes_on_from_any_batch(pipeline: TextPipeline, path: Path) -> None:
    for make_one in (lambda: make(pipeline), lambda: stream(pipeline, path)):
        whole = content(list(make_one().iterate(2)))
        for start in (1, 5, len(whole) - 1):
            assert content(list(make_one().iterate(2, start))) == whole[start:]


def test_epochs_are_independent_of_those_before(pipeline: TextPipeline) -> None:
    loader = make(pipeline)
    visited = [content(list(loader.iterate(epoch))) for epoch in (0, 1, 2, 1)]
    assert visited[1] == visited[3] == content(list(make(pipeline).iterate(1)))
    assert visited[0] != visited[1] != visited[2]


@pytest.mark.medium
def test_chunks_and_processes_change_no_row(pipeline: TextPipeline, path: Path) -> None:
    expected = rows_by_number(stream(pipeline, path), 1)
    assert sorted(expected) == list(range(ROWS))
    assert rows_by_number(stream(pipeline, path, chunk_rows=40), 1) == expected
    parts = [stream(pipeline, path, rank=rank, world_size=2) for rank in (0, 1)]
    assert rows_by_number(parts[0], 1) | rows_by_number(parts[1], 1) == expected


def test_a_table_in_memory_and_a_stream_change_rows_alike(
    pipeline: TextPipeline, path: Path
) -> None:
    assert rows_by_number(make(pipeline), 1) == rows_by_number(stream(pipeline, path), 1)


def test_batches_are_sorted_by_the_lengths_of_their_epoch(pipeline: TextPipeline) -> None:
    loader = make(pipeline)
    lengths = loader.table_of(1).lengths
    assert not np.array_equal(lengths, loader.table.lengths)
    spread = [np.ptp(lengths[rows]) for rows in loader.order(1)]
    assert np.mean(spread) < np.ptp(lengths) / 2
