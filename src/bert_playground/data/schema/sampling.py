"""Training tables larger than memory: when they are streamed, and which of their rows are held."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.config.schema import DataSection
from bert_playground.data.reading.prefetching import prefetch
from bert_playground.data.reading.table import Files, expand_paths, read_table
from bert_playground.data.reading.table_stream import (
    Chunk,
    TableStream,
    is_large,
    open_if_longer,
    open_stream,
)
from bert_playground.data.schema.decide import decide
from bert_playground.data.schema.roles import read_test_columns
from bert_playground.tasks import TASKS

SAMPLE_ROWS = 50_000  # that everything fitted is fitted on
MAX_VAL_ROWS = 20_000
MAX_READ_ROWS, MAX_READ_BYTES = 500_000, 256 * 2**20  # of a table of which a part is enough
READ_ALL = "; data.streaming false reads all of it"
MAX_CLASSES = 1000  # more different labels are numbers, which need not all be seen


class StreamSample(NamedTuple):
    """What is held of a streamed table."""

    sample: pl.DataFrame  # of the training rows
    val: pl.DataFrame | None  # None: a table of its own
    stream: TableStream  # all training rows
    message: str


def wants_stream(options: DataSection) -> bool:
    """Whether the training table is streamed: as asked, else from 64 MB or 500,000 rows on.

    Raises:
        ValueError: streaming is asked for together with what needs the whole table.
    """
    if options.streaming is False or options.train is None:
        return False
    whole = _need_whole_table(options)
    if options.streaming and whole:
        raise ValueError(
            f"{', '.join(whole)} need the whole table in memory, so it cannot be streamed; set data.streaming to false, "
            "or give validation rows in a table of their own with --val"
        )
    return bool(options.streaming) or (not whole and is_large(options.train))


def _need_whole_table(options: DataSection) -> list[str]:
    names = ["horizon", "weight_column"]
    if options.val is None:
        names += ["folds", "group_column", "time_column"]
    asked = [f"data.{name}" for name in names if getattr(options, name) is not None]
    if options.val is None and options.split not in ("auto", "stratified"):
        asked.append(f"data.split {options.split}")
    return asked


def sample_stream(options: DataSection, seed: int) -> StreamSample:
    """Draw the rows that are held in memory: a sample that everything is fitted on, and validation rows.

    Both are drawn from all over the table. The sample is completed by one row of each label that it lacks.

    Args:
        options: of the user.
        seed: draws the rows.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: it is faulty; see `open_stream`.
    """
    assert options.train is not None
    stream = open_stream(options.train)
    num_rows = stream.num_rows
    num_val = 0
    if options.val is None:
        num_val = min(max(1, round(options.val_fraction * num_rows)), MAX_VAL_ROWS)
    generator = np.random.default_rng(seed)
    drawn = generator.permutation(num_rows)[: num_val + SAMPLE_ROWS]
    val_rows, sample_rows = np.sort(drawn[:num_val]), np.sort(drawn[num_val:])
    sample = stream.take(sample_rows)
    rare = _find_unseen(stream, sample, options)
    if len(rare):
        sample = pl.concat([sample, stream.take(rare)])
        val_rows = np.setdiff1d(val_rows, rare)
        if options.val is None and not len(val_rows):
            raise ValueError(
                f"{stream.name} has {num_rows} rows, so few for its labels that none are left to validate on; give a "
                "table with --val"
            )
    message = (
        f"streamed: {num_rows} rows in {len(stream.chunks)} chunks; columns, template and vocabulary are fitted on "
        f"{sample.height} of them, drawn from all over the table (seed {seed}); data.streaming turns it on or off"
    )
    if options.val is not None:
        return StreamSample(sample, None, stream, message)
    message += (
        f"; validation: {len(val_rows)} other rows, drawn likewise; or give a table with --val"
    )
    val = stream.take(val_rows)
    return StreamSample(sample, val, stream.select(np.setdiff1d(stream.rows, val_rows)), message)


def _find_unseen(stream: TableStream, sample: pl.DataFrame, options: DataSection) -> np.ndarray:
    """[K] the numbers of the first row with each label that the sample lacks."""
    assert options.train is not None
    try:
        schema = decide(sample, options, read_test_columns(options.train, list(stream.columns)))
    except ValueError as error:  # it counts rows in the sample
        raise ValueError(
            f"in a sample of {sample.height} rows of {stream.name}: {error}"
        ) from error
    if not TASKS[schema.task].is_classification:
        return np.empty(0, dtype=np.int64)
    seen = {name: set(sample[name].to_list()) for name in schema.targets}
    seen = {name: labels for name, labels in seen.items() if len(labels) <= MAX_CLASSES}
    found: set[int] = set()
    for chunk in stream.chunks if seen else ():
        frame, numbers = chunk.read(), chunk.rows
        for name, labels in seen.items():
            places = pl.DataFrame({"label": frame[name], "row": numbers})
            new = places.filter(pl.col("label").is_not_null() & ~pl.col("label").is_in(labels))
            first = new.unique("label", keep="first")
            labels |= set(first["label"].to_list())
            found |= set(first["row"].to_list())
    return np.array(sorted(found), dtype=np.int64)


def read_some(options: DataSection, seed: int) -> pl.DataFrame:
    """The validation table, or rows from all over it where it is large."""
    assert options.val is not None
    if not is_large(options.val):
        return read_table(options.val)
    stream = open_stream(options.val)
    drawn = np.random.default_rng(seed).permutation(stream.num_rows)[:MAX_VAL_ROWS]
    return stream.take(np.sort(drawn))


def read_within(
    source: Files, seed: int, *, is_drawn: bool | None = None, hint: str = ""
) -> tuple[pl.DataFrame, str]:
    """A table; of one that is too large for memory rows from all over it, in their order.

    Args:
        source: see `open_stream`.
        seed: draws the rows.
        is_drawn: whether it is too large; None: from 64 MB or 500,000 rows on.
        hint: said of a part: how to have all rows.

    Returns:
        At most 500,000 rows, of files of more than 256 MB a smaller part; and how many these are, in words.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: it is faulty.
    """
    if is_drawn is False or (is_drawn is None and not is_large(source)):
        frame = read_table(source)
        return frame, f"{frame.height} rows"
    stream = open_stream(source)
    size = sum(path.stat().st_size for path in expand_paths(source))
    part = min(1.0, MAX_READ_BYTES / max(1, size))
    count = min(MAX_READ_ROWS, max(1, int(part * stream.num_rows)))
    if count == stream.num_rows:
        return stream.take(stream.rows), f"{count} rows"
    drawn = _draw_rows(stream.num_rows, count, np.random.default_rng(seed))
    message = f"{count} of {stream.num_rows} rows, drawn from all over the table (seed {seed}), as it is large{hint}"
    return stream.take(np.sort(drawn)), message


def _draw_rows(num_rows: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """[count] different row numbers; of very many rows without a number for each of them."""
    if num_rows <= 10 * count:
        return generator.permutation(num_rows)[:count]
    drawn = np.unique(generator.integers(0, num_rows, 2 * count))  # nine tenths of them, at least
    return generator.permutation(drawn)[:count]


def read_frames(source: Files) -> Iterator[pl.DataFrame]:
    """The rows of a table, every cell as text: whole, or chunk by chunk where it is large.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: it is faulty.
    """
    return iterate_frames(source) if is_large(source) else iter([read_table(source)])


def read_parts(source: Files) -> Iterator[pl.DataFrame]:
    """`read_frames` for work that needs one part at a time: chunk by chunk from 4 MB on where the files allow it.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: it is faulty.
    """
    stream = None if is_large(source) else open_if_longer(source)
    return read_frames(source) if stream is None else _prefetch_chunks(stream)


def iterate_frames(source: Files) -> Iterator[pl.DataFrame]:
    """The rows of a large table chunk by chunk, every cell as text; the next one is read meanwhile.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: it is faulty; see `open_stream`.
    """
    return _prefetch_chunks(open_stream(source))


def _prefetch_chunks(stream: TableStream) -> Iterator[pl.DataFrame]:
    return prefetch(Chunk.read, stream.chunks, size=1)
