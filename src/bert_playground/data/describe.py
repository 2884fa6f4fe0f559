"""describe_table, preview_table: what inference makes of a table, and what the model would read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.columns.dictionary_encoding import join_cells
from bert_playground.data.columns.kinds import Kind, as_kind, clean, infer_all, infer_kind
from bert_playground.data.columns.wide import chunks, count_values, read_numbers, stack_columns
from bert_playground.data.schema import Schema
from bert_playground.data.schema.derived_gain import judge_by_target
from bert_playground.data.targets.fit import Encoder, encode_targets, fit_targets
from bert_playground.data.targets.imbalance import describe_imbalance
from bert_playground.data.targets.windows import Windows
from bert_playground.data.templates.derive import source_columns
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.fit_columns import fit_columns
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_text import RowText, read_state
from bert_playground.data.templates.templates import (
    TEMPLATES,
    Template,
    choose_template,
    render_cells,
)
from bert_playground.data.templates.word_counts import count_words
from bert_playground.lookup import count_of

MANY_CATEGORIES = 1000
LONG_CELL = 10_000  # characters
MOSTLY_MISSING = 0.5
MAX_VALUES = 5  # of a column that are shown
MAX_SHOWN = 200  # columns of an example


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table.

    Attributes:
        name: of the column.
        role: "target", "id", "feature" or "left out".
        kind: a name in KINDS.
        missing: share of rows without a value; "NA" is none among numbers and dates, and may be one among words.
        distinct: different values.
        values: the range of numbers, or the most frequent values.
    """

    name: str
    role: str
    kind: str
    missing: float
    distinct: int
    values: str


@dataclass(frozen=True)
class TableFacts:
    """A table as training would read it.

    Attributes:
        num_rows: R.
        columns: in their order.
        statements: what training would decide: target, id, task and features.
        warnings: what a person should look at: leakage suspects, duplicates, oversized columns.
        examples: the text of the first rows, as a pretrained encoder would read them.
    """

    num_rows: int
    columns: tuple[ColumnFacts, ...]
    statements: tuple[str, ...]
    warnings: tuple[str, ...]
    examples: tuple[str, ...]


def describe_table(
    frame: pl.DataFrame,
    schema: Schema,
    options: TextOptions | None = None,
    *,
    num_examples: int = 3,
    fault: str | None = None,
) -> TableFacts:
    """Look at a training table as `bert train` would.

    What is wrong with a target that was inferred is a warning, and the rest is described all the same.

    Args:
        frame: all cells as text, from `read_table`.
        schema: what the table is, from `decide`.
        options: how its rows shall become text; None: all defaults.
        num_examples: rows to show as text.
        fault: why the table has no target, if it has none; see `decide_if_possible`.

    Raises:
        ValueError: a column that was named is not there, or labels are unfit for the task.
    """
    options = options or TextOptions()
    given = {name: kind for name, kind in options.kinds.items() if name not in options.drop_columns}
    inferred = infer_all(frame)
    found = inferred | {name: as_kind(frame[name], given[name]) for name in given}
    found = {name: found[name] for name in frame.columns}
    left_out = (*schema.dropped, *options.drop_columns)
    faults = [] if fault is None else [fault]
    try:
        fitted = fit_columns(
            frame,
            options,
            skip=(*schema.targets, *schema.dropped),
            id_column=schema.id_column,
            choose=judge_by_target(frame, schema),
            inferred=inferred,
        )
        features, statements, example = (
            fitted.features,
            fitted.statements,
            fitted.frame[:num_examples],
        )
        read = set(source_columns(features, Template(), fitted.derived))
    except ValueError as error:  # no column is left to read
        features, statements, example, read = (), (), frame[:0], set()
        faults.append(str(error))
    labels = _fit_inferred(frame, schema, faults)
    template = TEMPLATES[choose_template("auto", features, is_pretrained=True)]
    kept = frame.drop(name for name in left_out if name not in schema.targets)
    return TableFacts(
        frame.height,
        _describe_columns(frame, found, {name: _role(name, schema, read) for name in found}),
        (*schema.notes, *statements),
        (*faults, *_warnings(kept, schema, found, labels)),
        _examples(example, features, template),
    )


def preview_table(text: RowText, frame: pl.DataFrame, num_rows: int) -> dict[str, Any]:
    """The first rows as text and pieces, how many tokens all rows have and how words are read; ready for JSON."""
    first = frame[:num_rows]
    table = text.encode(frame)
    lengths = table.lengths
    shown = zip(_show_rows(text, first), table.rows(), _show_values(text, first), strict=False)
    return {
        "rows": [
            {"text": words, "tokens": len(ids), "pieces": text.tokenizer.spell(ids), **values}
            for words, ids, values in shown
        ],
        "token_counts": {
            "rows": len(lengths),
            "shortest": int(lengths.min()),
            "median": float(np.median(lengths)),
            "95th_percentile": float(np.percentile(lengths, 95)),
            "longest": int(lengths.max()),
            "max_length": text.max_length,
            "at_max_length": int((lengths >= text.max_length).sum()),
        },
        "words": count_words(text, frame),
        "template": text.template,
    }


def load_reader(folder: Path) -> tuple[RowText, Windows | None]:
    """How a checkpoint reads rows, and how it cuts a table of series into rows first.

    Raises:
        ValueError: the folder holds no such thing, or one that this version cannot read.
    """
    state = read_state(folder, lambda document: {"windows": document.get("windows")})
    windows = state.pop("windows")
    return RowText(**state), None if windows is None else Windows.from_dict(windows)


def _show_rows(text: RowText, frame: pl.DataFrame) -> list[str]:
    """What the model reads of each row; separators, which are tokens and no text, are shown as [SEP]."""
    cells = text.cells(frame)
    if not text.form.is_pair and not text.form.separated:
        return join_cells(cells).to_list()
    pieces = pl.DataFrame(
        [cell.rows().str.strip_chars().alias(str(i)) for i, cell in enumerate(cells)]
    )
    return pieces.select(pl.concat_str(pl.all(), separator=" [SEP] ")).to_series().to_list()


def _show_values(text: RowText, frame: pl.DataFrame) -> list[dict[str, dict[str, float | None]]]:
    """The values of each row that are read as numbers too, by column; {} where no column is read so."""
    values = text.encode_numbers(frame)
    if values is None:
        return [{} for _ in range(frame.height)]
    names = [number.column for number in text.numbers]
    rows = [
        [None if np.isnan(value) else round(value, 4) for value in row] for row in values.tolist()
    ]
    return [{"values": dict(zip(names, row, strict=True))} for row in rows]


def _role(name: str, schema: Schema, read: set[str]) -> str:
    if name in schema.targets:
        return "target"
    if name == schema.id_column and name not in read:
        return "id"
    return "feature" if name in read else "left out"


def _describe_columns(
    frame: pl.DataFrame, kinds: dict[str, Kind], roles: dict[str, str]
) -> tuple[ColumnFacts, ...]:
    numbers = read_numbers(
        frame, {name: kind.spelling for name, kind in kinds.items() if kind.name == "number"}
    )
    frequent = _show_frequent(frame, [name for name in kinds if name not in numbers])
    return tuple(
        ColumnFacts(
            name,
            roles[name],
            kind.name,
            1 - kind.num_values / max(1, frame.height),
            kind.num_distinct,
            _show_numbers(numbers[name]) if name in numbers else frequent[name],
        )
        for name, kind in kinds.items()
    )


def _show_numbers(cells: np.ndarray) -> str:
    numbers = cells[~np.isnan(cells)]
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return "infinite"
    spelt = [_spell(value) for value in (finite.min(), finite.max(), np.median(finite))]
    infinite = ", some infinite" if len(finite) < len(numbers) else ""
    return f"{spelt[0]} to {spelt[1]}, median {spelt[2]}{infinite}"


def _show_frequent(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, str]:
    """Column → its most frequent values."""
    shown = dict.fromkeys(names, "")
    for part in chunks(names, frame.height):
        counts = count_values(clean(stack_columns(frame, part)), len(part))
        most = counts.group_by("column").agg(pl.col("value").head(MAX_VALUES + 1))
        for column, values in most.iter_rows():
            texts = [text if len(text) <= 24 else f"{text[:23]}…" for text in values[:MAX_VALUES]]
            shown[part[column]] = ", ".join([*texts, "…"][: len(values)])
    return shown


def _spell(value: float) -> str:
    """Whole numbers in full, others to six digits."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:g}"


def _examples(
    frame: pl.DataFrame, features: tuple[Feature, ...], template: Template
) -> tuple[str, ...]:
    if not features:
        return ()
    texts = join_cells(render_cells(frame, features[:MAX_SHOWN], template))
    return tuple(f"{text} …" if len(features) > MAX_SHOWN else text for text in texts)


def _fit_inferred(frame: pl.DataFrame, schema: Schema, faults: list[str]) -> Encoder | None:
    """The encoder of the target; None where there is none, or one was inferred that is unfit: `faults` then says so.

    Raises:
        ValueError: a target that was given is unfit.
    """
    if not schema.targets:
        return None
    try:
        return _fit_labels(frame, schema)
    except ValueError as error:
        if not schema.inferred:
            raise
        faults.append(f"{error}. What was inferred: {schema.inferred}")
        return None


def _fit_labels(frame: pl.DataFrame, schema: Schema) -> Encoder:
    """The encoder of the target; ordinal words whose order is not known count as classes without one.

    Raises:
        ValueError: labels unfit for the task.
    """
    task, order = schema.task, schema.class_order
    if task == "ordinal" and order is None and infer_kind(frame[schema.target]).name != "number":
        task = "multiclass"
    return fit_targets(frame, schema.target, task, order)


def _warnings(
    frame: pl.DataFrame, schema: Schema, kinds: dict[str, Kind], labels: Encoder | None
) -> list[str]:
    found = []
    if labels is not None:
        from bert_playground.data.schema.leakage import find_leakage  # needs scikit-learn: seconds

        found = find_leakage(frame, labels, schema.target, schema.id_column)
        imbalance = describe_imbalance(labels, encode_targets(labels, frame, schema.targets))
        found += [] if imbalance is None else [imbalance]
    if schema.id_column is not None:
        repeated = frame.height - frame[schema.id_column].n_unique()
        if repeated:
            found.append(
                f"{schema.id_column} repeats on {count_of(repeated, 'row')}, though it is the id"
            )
    is_read = schema.id_column is not None and kinds[schema.id_column].name == "date"
    without_id = frame if schema.id_column is None or is_read else frame.drop(schema.id_column)
    duplicates = frame.height - without_id.n_unique()
    if duplicates:
        found.append(
            f"{count_of(duplicates, 'row')} {'repeats' if duplicates == 1 else 'repeat'} another row in everything but the "
            "id: a random split puts copies on both sides"
        )
    lengths = frame.select(pl.all().str.len_chars().max().fill_null(0)).row(0, named=True)
    no_features = {*schema.targets, schema.id_column}
    for name, kind in kinds.items():
        if name in no_features or name not in lengths:
            continue
        longest = lengths[name]
        missing = 1 - kind.num_values / frame.height
        if kind.name == "category" and kind.num_distinct > MANY_CATEGORIES:
            found.append(f"{name} has {kind.num_distinct} categories: rare ones are read as other")
        if longest > LONG_CELL:
            found.append(f"{name} has a cell of {longest} characters: long rows are cut")
        if kind.name != "nothing" and missing > MOSTLY_MISSING:
            found.append(f"{name} is missing on {missing:.0%} of the rows".replace("%", " %"))
    return found
