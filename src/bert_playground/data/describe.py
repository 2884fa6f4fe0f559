"""describe_table, preview_table: what inference makes of a table, and what the model would read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from bert_playground.competitions import COMPETITIONS, Competition
from bert_playground.data.core.coded import join_cells
from bert_playground.data.core.columns import Roles, infer_roles
from bert_playground.data.core.features import fit_features
from bert_playground.data.core.imbalance import say_imbalance
from bert_playground.data.core.kinds import Kind, clean, infer_kind
from bert_playground.data.core.labels import LabelEncoder
from bert_playground.data.core.leakage import NAMES, find_leaks
from bert_playground.data.core.spellings import read_number
from bert_playground.data.core.targets import encode_targets, fit_targets
from bert_playground.data.row_text import RowText
from bert_playground.data.templates.text import TEMPLATES, choose_template, render_cells

MANY_CATEGORIES = 1000
LONG_CELL = 10_000  # characters
MOSTLY_MISSING = 0.5


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table.

    Attributes:
        name: of the column.
        role: "target", "id", "feature" or "left out".
        kind: a name in KINDS.
        missing: share of rows without a value.
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
    *,
    target: str | None = None,
    id_column: str | None = None,
    task: str | None = None,
    datasets: Mapping[str, Competition] = COMPETITIONS,
    num_examples: int = 3,
) -> TableFacts:
    """Look at a training table as `bert train` would.

    Args:
        frame: all cells as text, from `read_table`.
        target: None: inferred.
        id_column: None: inferred.
        task: None: inferred.
        datasets: those that are known by their columns.
        num_examples: rows to show as text.

    Raises:
        ValueError: a column that was named is not there, or labels are missing or unfit for the task.
    """
    roles = infer_roles(frame, target=target, id_column=id_column, task=task, datasets=datasets)
    kinds = {name: infer_kind(frame[name]) for name in frame.columns}
    features, said = fit_features(
        frame, skip=(*roles.targets, *roles.dropped), id_column=roles.id_column
    )
    read = {feature.column for feature in features}
    template = choose_template("auto", features, is_pretrained=True)
    examples = join_cells(render_cells(frame[:num_examples], features, TEMPLATES[template]))
    return TableFacts(
        frame.height,
        tuple(
            _describe_column(frame[name], kind, _role(name, roles, read))
            for name, kind in kinds.items()
        ),
        (*roles.statements, *said),
        tuple(_warnings(frame, roles, kinds)),
        tuple(examples),
    )


def preview_table(text: RowText, frame: pl.DataFrame, num_rows: int) -> dict[str, Any]:
    """The first rows as text and pieces, and how many tokens all rows have; ready for JSON."""
    first = frame[:num_rows]
    lengths = text.encode(frame).lengths
    return {
        "rows": [
            {"text": words, "tokens": len(ids), "pieces": text.tokenizer.spell(ids)}
            for words, ids in zip(text.text(first), text.encode(first).rows(), strict=True)
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
        "template": text.template,
    }


def _role(name: str, roles: Roles, read: set[str]) -> str:
    if name in roles.targets:
        return "target"
    if name == roles.id_column and name not in read:
        return "id"
    return "feature" if name in read else "left out"


def _describe_column(column: pl.Series, kind: Kind, role: str) -> ColumnFacts:
    values = clean(column)
    missing = values.null_count() / max(1, len(values))
    return ColumnFacts(
        column.name, role, kind.name, missing, values.drop_nulls().n_unique(), _show(values, kind)
    )


def _show(values: pl.Series, kind: Kind) -> str:
    if kind.name == "number":
        numbers = values.to_frame().select(read_number(pl.col(values.name), kind.spelling))
        series = numbers.to_series().drop_nulls()
        lowest, median, highest = np.quantile(series.to_numpy(), (0, 0.5, 1))
        return f"{lowest:g} to {highest:g}, median {median:g}"
    counts = values.drop_nulls().alias("value").value_counts()
    frequent = counts.sort("count", "value", descending=[True, False])["value"][:5]
    shown = ", ".join(text if len(text) <= 24 else f"{text[:23]}…" for text in frequent)
    return shown + (", …" if counts.height > 5 else "")


def _warnings(frame: pl.DataFrame, roles: Roles, kinds: dict[str, Kind]) -> list[str]:
    found = []
    if roles.task in NAMES:  # several targets, or ordered words, are not looked through
        labels = LabelEncoder.fit(frame[roles.target], roles.task)
        found = find_leaks(frame, labels, roles.target, roles.id_column)
    found += _say_rare(frame, roles)
    if roles.id_column is not None:
        repeated = frame.height - frame[roles.id_column].n_unique()
        if repeated:
            found.append(f"{roles.id_column} repeats on {repeated} rows, though it is the id")
    without_id = frame.drop(roles.id_column) if roles.id_column else frame
    duplicates = frame.height - without_id.n_unique()
    if duplicates:
        found.append(
            f"{duplicates} rows repeat another row in everything but the id: a random split puts copies on both sides"
        )
    for name, kind in kinds.items():
        if name in (*roles.targets, roles.id_column):
            continue
        longest = frame[name].str.len_chars().fill_null(0).to_numpy().max(initial=0)
        missing = clean(frame[name]).null_count() / frame.height
        if kind.name == "category" and kind.num_distinct > MANY_CATEGORIES:
            found.append(f"{name} has {kind.num_distinct} categories: rare ones are read as other")
        if longest > LONG_CELL:
            found.append(f"{name} has a cell of {longest} characters: long rows are cut")
        if kind.name != "nothing" and missing > MOSTLY_MISSING:
            found.append(f"{name} is missing on {missing:.0%} of the rows".replace("%", " %"))
    return found


def _say_rare(frame: pl.DataFrame, roles: Roles) -> list[str]:
    """The rare classes; of ordinal words nothing is said, as their order is not known here."""
    try:
        encoder = fit_targets(frame, roles.target, roles.task)
        said = say_imbalance(encoder, encode_targets(encoder, frame, roles.targets))
    except ValueError:
        return []
    return [] if said is None else [said]
