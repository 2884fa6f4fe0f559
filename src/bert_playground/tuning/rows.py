"""put_rows_aside: a part of the table that no trial sees, and the rest as a table of its own."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import choose_split_options, prepare
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.columns_asked import resolve_columns
from bert_playground.data.schema.sampling import wants_stream
from bert_playground.data.splits.strategy import split_table
from bert_playground.files import write_bytes
from bert_playground.logger import logger
from bert_playground.lookup import count_of

LEAST_ROWS = 30  # put aside, of which fewer show nothing
OFFSET = 7919  # of the seed, so that other rows are put aside than trials validate on


@dataclass(frozen=True)
class TunedRows:
    """The table of the trials, and the rows that they do not see.

    Attributes:
        config: the same request for the table of the trials.
        aside: the others, all cells as text; None: none were put aside.
    """

    config: RunConfig
    aside: pl.DataFrame | None


def put_rows_aside(config: RunConfig, share: float, folder: Path) -> TunedRows:
    """Write the rows of the trials to `folder/train.csv`, the others to `folder/aside.csv`; what is there is read again.

    Rows are put aside as validation rows are drawn: with classes in proportion, groups whole, or the latest in time.

    Args:
        config: what was asked for.
        share: of the rows to put aside; 0: none.
        folder: for the tables.

    Raises:
        ValueError: the table is streamed or a series, or too few rows would be left.
        FileNotFoundError: it is not there.
    """
    path = config.data.train
    if path is None:
        raise ValueError("no training table; give one with --train data/titanic/train.csv")
    _refuse_other_tables(config)
    if share == 0:
        return TunedRows(config, None)
    train, aside = folder / "train.csv", folder / "aside.csv"
    if not (train.is_file() and aside.is_file()):
        _write_parts(config, share, train, aside)
    data = config.data.model_copy(update={"train": train})
    return TunedRows(config.model_copy(update={"data": data}), read_table(aside))


def _refuse_other_tables(config: RunConfig) -> None:
    data, asked = config.data, config.cross_validation
    if data.horizon is not None:
        raise ValueError(
            "bert tune puts rows aside, and windows of a series (data.horizon) overlap; tune on lags as columns of a table"
        )
    if data.folds is not None or isinstance(asked.folds, Path):
        raise ValueError(
            "a file of folds names rows that bert tune puts aside; give a number, such as --folds 5"
        )
    if wants_stream(data):
        raise ValueError(
            f"{data.train} is so large that it is streamed, and bert tune needs it whole: --set data.streaming=false, or tune "
            "on a part of it"
        )


def _write_parts(config: RunConfig, share: float, train: Path, aside: Path) -> None:
    prepared = prepare(
        config.model_copy(update={"data": config.data.model_copy(update={"val": None})})
    )
    assert prepared.table is not None
    source = config.data.train
    assert source is not None
    frame = read_table(source)
    request = resolve_columns(config.data, frame.columns)
    options = choose_split_options(request.model_copy(update={"val_fraction": share}))
    kept, held, note = split_table(frame, prepared.schema, options, config.split_seed + OFFSET)
    if len(held) < LEAST_ROWS:
        raise ValueError(
            f"{count_of(len(held), 'row')} would be put aside, and {LEAST_ROWS} are the least that show anything; ask for a "
            "larger share with --aside, or for --aside 0, which gives no verdict"
        )
    said = note.partition(": ")[2].partition(";")[0]
    logger.info(f"put aside for the verdict, seen by no trial: {said}")
    _link_test_table(source, train)
    for path, rows in ((aside, held), (train, kept)):
        write_bytes(path, frame[rows].write_csv().encode("utf-8"))


def _link_test_table(source: Path, train: Path) -> None:
    """The test table stays beside the training table, as training looks there for what will be asked."""
    test = source.with_name(source.name.replace("train", "test"))
    if test == source or not test.is_file():
        return
    train.parent.mkdir(parents=True, exist_ok=True)
    link = train.with_name("test" + "".join(test.suffixes))
    with suppress(FileExistsError):
        try:
            link.symlink_to(test.resolve())
        except OSError:  # a file system without links
            shutil.copyfile(test, link)
