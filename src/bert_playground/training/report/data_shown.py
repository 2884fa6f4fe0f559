"""show_data: what each column is, what is missing, how validation and test rows differ, and what gives the target away."""

import polars as pl

from bert_playground.data.drift.cells import is_missing
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared
from bert_playground.data.schema.leakage import find_leakage
from bert_playground.lookup import count_of
from bert_playground.training.report.blocks import Block, Cell, Notes, Table

MOST_COLUMNS = 200  # of a table
SUSPICIOUS = 0.6  # Cramér's V from which a column is tried alone
MOST_SUSPECTS = 5
LEAK_ROWS = 4000


def show_data(prepared: Prepared, pipeline: TextPipeline | None, *, has_folds: bool) -> list[Block]:
    """The tables of a run.

    Args:
        prepared: the tables.
        pipeline: that reads them; None: no model was kept.
        has_folds: whether the validation rows are all rows.
    """
    blocks: list[Block] = [_tabulate(prepared, pipeline, has_folds=has_folds)]
    found = []
    if pipeline is not None:
        found += _find_drift(prepared, pipeline, has_folds=has_folds)
        found += _find_leaks(prepared, pipeline)
    if not has_folds:
        found += _find_twins(prepared, pipeline)
    blocks.append(Notes(tuple(found or ["nothing conspicuous was found"])))
    decided = (*prepared.notes, *(pipeline.statements if pipeline else ()))
    return [
        *blocks,
        Table(
            "What was decided", ("decision",), tuple((each,) for each in decided), is_folded=True
        ),
    ]


def _tabulate(prepared: Prepared, pipeline: TextPipeline | None, *, has_folds: bool) -> Table:
    train, val = prepared.train, prepared.val
    names = train.columns[:MOST_COLUMNS]
    profiles = {each.column: each for each in pipeline.profiles} if pipeline else {}
    numeric = {name for name, each in profiles.items() if each.is_numeric}
    missing = [
        is_missing(pl.col(name), also_none=name in numeric).mean().alias(name) for name in names
    ]
    shares = [
        frame.select(missing).row(0) if frame.height else (None,) * len(names)
        for frame in (train, val)
    ]
    distinct = train.select(pl.col(name).drop_nulls().n_unique() for name in names).row(0)
    rows: list[tuple[Cell, ...]] = []
    for place, name in enumerate(names):
        profile = profiles.get(name)
        cells: list[Cell] = [
            name,
            _role(name, prepared, pipeline),
            None if profile is None else profile.form,
        ]
        cells += [_percent(share[place]) for share in (shares[:1] if has_folds else shares)]
        cells += [distinct[place], None if profile is None else profile.importance]
        rows.append(tuple(cells))
    where = ("missing",) if has_folds else ("missing in training", "in validation")
    more = f", the first {MOST_COLUMNS} of {train.width}" if train.width > MOST_COLUMNS else ""
    return Table(
        f"{count_of(train.height, 'row')}{'' if has_folds else f' of training, {val.height} of validation'}{more}",
        ("column", "role", "read as", *where, "distinct", "tells of the target alone"),
        tuple(rows),
        is_folded=len(rows) > 40,
    )


def _role(name: str, prepared: Prepared, pipeline: TextPipeline | None) -> str:
    schema = prepared.schema
    if name in schema.targets:
        return "target"
    if pipeline is not None:
        if name in pipeline.columns:
            return "feature"
    elif name not in (*schema.left_out, schema.id_column):
        return "feature"
    return "id" if name == schema.id_column else "not read"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}" if share else "0"


def _find_drift(prepared: Prepared, pipeline: TextPipeline, *, has_folds: bool) -> list[str]:
    tables = [] if has_folds else [("validation", prepared.val)]
    if prepared.text.test_rows is not None:
        tables.append(("the test table", prepared.text.test_rows))
    found = []
    for name, frame in tables:
        drift = pipeline.watch_drift()
        drift.read(frame)
        found += [f"{name}: {finding.say()}" for finding in drift.findings()]
    return found


def _find_leaks(prepared: Prepared, pipeline: TextPipeline) -> list[str]:
    """Columns that answer alone, among those that tell much of the target, and the id."""
    profiles = sorted(pipeline.profiles, key=lambda each: -(each.importance or 0.0))
    suspects = [each.column for each in profiles if (each.importance or 0.0) >= SUSPICIOUS]
    columns = [*suspects[:MOST_SUSPECTS], pipeline.id_column]
    columns = [name for name in columns if name in prepared.train.columns]
    if not columns:
        return []
    frame = prepared.train.select(*columns, *pipeline.targets)
    rows = frame if frame.height <= LEAK_ROWS else frame.sample(LEAK_ROWS, seed=0)
    return find_leakage(rows, pipeline.labels, pipeline.target, pipeline.id_column)


def _find_twins(prepared: Prepared, pipeline: TextPipeline | None) -> list[str]:
    """Validation rows all of whose cells that are read stand in a training row too."""
    schema = prepared.schema
    left_out = (*schema.left_out, schema.id_column)
    names = (
        pipeline.columns if pipeline else [n for n in prepared.train.columns if n not in left_out]
    )
    names = [
        name for name in names if name in prepared.train.columns and name in prepared.val.columns
    ]
    if not names:
        return []
    known = prepared.train.select(names).unique()
    again = prepared.val.join(known, on=names, how="semi", nulls_equal=True).height
    if not again:
        return []
    return [
        f"{again} of {count_of(prepared.val.height, 'validation row')} stand in the training rows too, in all columns that "
        "are read: their answers are no measure of new rows"
    ]
