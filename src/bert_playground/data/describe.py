"""describe_table, preview_table: what inference makes of a table, and what the model would read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.config.datasets import DATASETS, DatasetEntry
from bert_playground.data.core.coded import join_cells
from bert_playground.data.core.columns import Roles, infer_roles
from bert_playground.data.core.features import fit_features
from bert_playground.data.core.imbalance import say_imbalance
from bert_playground.data.core.kinds import Kind, as_kind, clean, infer_kind
from bert_playground.data.core.leakage import find_leaks
from bert_playground.data.core.spellings import read_number
from bert_playground.data.core.table import require_columns
from bert_playground.data.core.targets import Encoder, encode_targets, fit_targets
from bert_playground.data.core.windows import Windows
from bert_playground.data.row_text import RowText, read_state
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
    *,
    target: str | None = None,
    id_column: str | None = None,
    task: str | None = None,
    class_order: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    drop_columns: Sequence[str] = (),
    test_columns: list[str] | None = None,
    datasets: Mapping[str, DatasetEntry] = DATASETS,
    num_examples: int = 3,
) -> TableFacts:
    """Look at a training table as `bert train` would.

    Args:
        frame: all cells as text, from `read_table`.
        target: None: inferred.
        id_column: None: inferred.
        task: None: inferred.
        class_order: of ordinal words, lowest first.
        kinds: column → its kind, where that is not to be inferred.
        drop_columns: that are left out.
        test_columns: of the table to predict, where it is known: what that lacks is left out.
        datasets: those that are known by their columns.
        num_examples: rows to show as text.

    Raises:
        ValueError: a column that was named is not there, or labels are missing or unfit for the task.
    """
    require_columns(frame, [*drop_columns, *(kinds or {})], "the training table")
    roles = infer_roles(
        frame,
        target=target,
        id_column=id_column,
        task=task,
        test_columns=test_columns,
        datasets=datasets,
    )
    given = {name: kind for name, kind in (kinds or {}).items() if name not in drop_columns}
    found = {
        name: as_kind(frame[name], given[name]) if name in given else infer_kind(frame[name])
        for name in frame.columns
    }
    left_out = (*roles.dropped, *drop_columns)
    features, said = fit_features(
        frame, skip=(*roles.targets, *left_out), id_column=roles.id_column, given_kinds=given
    )
    read = {feature.column for feature in features}
    template = TEMPLATES[choose_template("auto", features, is_pretrained=True)]
    kept = frame.drop(name for name in left_out if name not in roles.targets)
    return TableFacts(
        frame.height,
        tuple(
            _describe_column(frame[name], kind, _role(name, roles, read))
            for name, kind in found.items()
        ),
        (*roles.statements, *said),
        tuple(_warnings(kept, roles, found, _fit_labels(frame, roles, class_order))),
        tuple(join_cells(render_cells(frame[:num_examples], features, template))),
    )


def preview_table(text: RowText, frame: pl.DataFrame, num_rows: int) -> dict[str, Any]:
    """The first rows as text and pieces, and how many tokens all rows have; ready for JSON."""
    first = frame[:num_rows]
    table = text.encode(frame)
    lengths = table.lengths
    shown = zip(_show_rows(text, first), table.rows(), strict=False)
    return {
        "rows": [
            {"text": words, "tokens": len(ids), "pieces": text.tokenizer.spell(ids)}
            for words, ids in shown
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


def load_reader(folder: Path) -> tuple[RowText, Windows | None]:
    """How a checkpoint reads rows, and how it cuts a table of series into rows first.

    Raises:
        ValueError: the folder holds no such thing, or one that this version cannot read.
    """
    state = read_state(folder, windows=lambda found: found and Windows.from_dict(found))
    windows = state.pop("windows")
    return RowText(**state), windows


def _show_rows(text: RowText, frame: pl.DataFrame) -> list[str]:
    """What the model reads of each row; separators, which are tokens and no text, are shown as [SEP]."""
    cells = text.cells(frame)
    if not text.form.is_pair and not text.form.separated:
        return join_cells(cells).to_list()
    pieces = pl.DataFrame(
        [cell.rows().str.strip_chars().alias(str(i)) for i, cell in enumerate(cells)]
    )
    return pieces.select(pl.concat_str(pl.all(), separator=" [SEP] ")).to_series().to_list()


def _role(name: str, roles: Roles, read: set[str]) -> str:
    if name in roles.targets:
        return "target"
    if name == roles.id_column and name not in read:
        return "id"
    return "feature" if name in read else "left out"


def _describe_column(column: pl.Series, kind: Kind, role: str) -> ColumnFacts:
    missing = 1 - kind.num_values / max(1, len(column))
    return ColumnFacts(
        column.name, role, kind.name, missing, kind.num_distinct, _show(clean(column), kind)
    )


def _show(values: pl.Series, kind: Kind) -> str:
    if kind.name == "number":
        numbers = values.to_frame().select(read_number(pl.col(values.name), kind.spelling))
        series = numbers.to_series().drop_nulls().to_numpy()
        finite = series[np.isfinite(series)]
        if not len(finite):
            return "infinite"
        spelt = [_spell(value) for value in np.quantile(finite, (0, 1, 0.5))]
        infinite = ", some infinite" if len(finite) < len(series) else ""
        return f"{spelt[0]} to {spelt[1]}, median {spelt[2]}{infinite}"
    counts = values.drop_nulls().alias("value").value_counts()
    frequent = counts.sort("count", "value", descending=[True, False])["value"][:5]
    shown = ", ".join(text if len(text) <= 24 else f"{text[:23]}…" for text in frequent)
    return shown + (", …" if counts.height > 5 else "")


def _spell(value: float) -> str:
    """Whole numbers in full, others to six digits."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:g}"


def _fit_labels(frame: pl.DataFrame, roles: Roles, order: Sequence[str] | None) -> Encoder:
    """The encoder of the target; ordinal words whose order is not known count as classes without one.

    Raises:
        ValueError: labels unfit for the task.
    """
    task = roles.task
    if task == "ordinal" and order is None and infer_kind(frame[roles.target]).name != "number":
        task = "multiclass"
    return fit_targets(frame, roles.target, task, order)


def _warnings(
    frame: pl.DataFrame, roles: Roles, kinds: dict[str, Kind], labels: Encoder
) -> list[str]:
    found = find_leaks(frame, labels, roles.target, roles.id_column)
    imbalance = say_imbalance(labels, encode_targets(labels, frame, roles.targets))
    found += [] if imbalance is None else [imbalance]
    if roles.id_column is not None:
        repeated = frame.height - frame[roles.id_column].n_unique()
        if repeated:
            found.append(f"{roles.id_column} repeats on {repeated} rows, though it is the id")
    is_read = roles.id_column is not None and kinds[roles.id_column].name == "date"
    without_id = frame if roles.id_column is None or is_read else frame.drop(roles.id_column)
    duplicates = frame.height - without_id.n_unique()
    if duplicates:
        found.append(
            f"{duplicates} rows repeat another row in everything but the id: a random split puts copies on both sides"
        )
    for name, kind in kinds.items():
        if name in (*roles.targets, roles.id_column) or name not in frame.columns:
            continue
        longest = frame[name].str.len_chars().fill_null(0).to_numpy().max(initial=0)
        missing = 1 - kind.num_values / frame.height
        if kind.name == "category" and kind.num_distinct > MANY_CATEGORIES:
            found.append(f"{name} has {kind.num_distinct} categories: rare ones are read as other")
        if longest > LONG_CELL:
            found.append(f"{name} has a cell of {longest} characters: long rows are cut")
        if kind.name != "nothing" and missing > MOSTLY_MISSING:
            found.append(f"{name} is missing on {missing:.0%} of the rows".replace("%", " %"))
    return found
