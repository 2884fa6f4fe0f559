"""read_rows: which rows a smaller model is taught by, chosen by, and judged by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.data.prepare import prepare_again
from bert_playground.data.reading.table import read_table, require_columns
from bert_playground.inference import Predictor
from bert_playground.run_record import find_record

LEAST_ROWS = 20
VAL_SHARE, ASIDE_SHARE = 0.1, 0.1  # of a table that the full model's run does not know


@dataclass(frozen=True)
class Rows:
    """Labelled rows, read as the full model reads them.

    Attributes:
        train: students learn from these.
        val: recipes are compared on these.
        aside: what was chosen is judged on these, once.
        statements: where they come from.
    """

    train: pl.DataFrame
    val: pl.DataFrame
    aside: pl.DataFrame
    statements: tuple[str, ...]


def read_rows(
    predictor: Predictor, train: Path, holdout: Path | None = None, seed: int = 0
) -> Rows:
    """Read and divide a table.

    The rows that the run of the full model validated on are divided into rows to compare recipes and rows put aside, so
    that no model has learned from them. A table of which the run knows nothing is divided anew.

    Args:
        predictor: of the full model.
        train: the table with the target.
        holdout: a second table with the target to put aside; None: rows of the first one.
        seed: divides rows.

    Raises:
        ValueError: the full model learned from the validation rows too, or there are too few rows.
    """
    known = _rows_of_run(predictor, train)
    generator = np.random.default_rng(seed)
    if known is None:
        frame = _read(predictor, train)
        order = generator.permutation(frame.height)
        num_aside = 0 if holdout else round(ASIDE_SHARE * frame.height)
        num_val = round(VAL_SHARE * frame.height)
        parts = np.split(order, [num_aside, num_aside + num_val])
        aside, val, rest = (frame[np.sort(part)] for part in parts)
        origin = f"{train} is not the table of the full model's run: if it learned from these rows, its scores are too good"
    else:
        rest, val = known
        order = generator.permutation(val.height)
        half = 0 if holdout else val.height // 2
        aside, val = val[np.sort(order[:half])], val[np.sort(order[half:])]
        origin = "validation rows are those of the full model's run, which also chose its epoch"
    if holdout is not None:
        aside = _read(predictor, holdout)
    sizes = {"to compare recipes": val.height, "put aside to judge": aside.height}
    few = [f"{count} rows {what}" for what, count in sizes.items() if count < LEAST_ROWS]
    if few:
        raise ValueError(
            f"{' and '.join(few)}: expected at least {LEAST_ROWS} each; give a larger table, or a second one with --holdout"
        )
    said = (
        f"rows: {rest.height} to learn from, {val.height} to compare recipes, {aside.height} put aside"
        f"{f' ({holdout})' if holdout else ''}; {origin}"
    )
    return Rows(rest, val, aside, (said,))


def _rows_of_run(predictor: Predictor, train: Path) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Training and validation rows as the run drew them; None: it was trained on another table, or on none."""
    record = find_record(predictor.checkpoint)
    table = None if record is None else record.setting("data.train")
    if record is None or table is None or Path(table).resolve() != train.resolve():
        return None
    if predictor.checkpoint.resolve() == record.run.refit.resolve():
        raise ValueError(
            f"{predictor.checkpoint} learned from the validation rows of its run too, so they can judge nothing; compress "
            f"{record.run.best}"
        )
    prepared = prepare_again(record.settings.values)
    return prepared.train, prepared.val


def _read(predictor: Predictor, path: Path) -> pl.DataFrame:
    frame = read_table(path)
    require_columns(frame, list(predictor.pipeline.targets), str(path))
    return predictor.pipeline.watch_drift().read(frame)
