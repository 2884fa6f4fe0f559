"""fit_features: what of each column is kept, learned from training rows and said in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import Kind, infer_kinds
from bert_playground.data.columns.parsing import read_items
from bert_playground.data.columns.wide import chunks, count_values, read_numbers, stack_columns
from bert_playground.data.templates.features import DATE_PARTS, FORM_OF_KIND, Feature, humanise
from bert_playground.lookup import shorten

MAX_OWN_BINS = 12  # a number with so few distinct values keeps them, each a bin of its own
# A category, title or prefix on fewer training rows is read as "other" or word by word.
MIN_ROWS = 3
MAX_KNOWN = 256
SAID_SPELLINGS = {
    "worded": "{}: numbers among signs or words",
    "comma": "{}: numbers with a decimal comma",
    "scaled": "{}: numbers with thousands, millions or billions behind them",
    "%m/%d/%Y": "{}: dates read as month/day/year; override with data.kinds",
    "%d/%m/%Y": "{}: dates read as day/month/year",
    "%m-%d-%Y": "{}: dates read as month-day-year; override with data.kinds",
    "%d-%m-%Y": "{}: dates read as day-month-year",
    "%m/%d/%y": "{}: dates read as month/day/year; override with data.kinds",
    "%d/%m/%y": "{}: dates read as day/month/year",
    "%Y%m%d": "{}: dates read as year, month and day without signs; override with data.kinds",
}


def fit_features(
    frame: pl.DataFrame, kinds: Mapping[str, Kind] | None = None, **asked: Any
) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """Decide what of each column is kept.

    Args:
        frame: the training rows, all cells as text.
        kinds: of the columns that are features; None: inferred.
        asked: see `infer_kinds`.

    Returns:
        The features, long texts last so that truncation meets them first, and the sentences that state the choice.

    Raises:
        ValueError: no column is left.
    """
    kinds = infer_kinds(frame, **asked) if kinds is None else kinds
    numbers = read_numbers(
        frame, {name: kind.spelling for name, kind in kinds.items() if kind.name == "number"}
    )
    planned = [
        feature for name in kinds for feature in _fit_column(frame, name, kinds[name], numbers)
    ]
    features = [feature for feature in _fit_known(frame, planned) if _is_telling(feature)]
    if not features:
        reason = f"{shorten(kinds)} are empty, constant or identify rows, of which there are {frame.height}"
        reason = reason if kinds else "there is none beside the target and what is dropped"
        raise ValueError(
            f"no column is left to learn from: {reason}; check --target and --id-column, or keep one with data.text_columns"
        )
    ordered = sorted(_with_own_labels(features), key=lambda feature: feature.is_text)
    return tuple(ordered), tuple(_state(kinds, features))


def _fit_column(
    frame: pl.DataFrame, name: str, kind: Kind, numbers: Mapping[str, np.ndarray]
) -> list[Feature]:
    label = humanise(name)
    if kind.name == "nothing":
        return []
    if kind.name == "number":
        return [_fit_number(numbers[name], Feature(name, label, "number", spelling=kind.spelling))]
    if kind.name == "date":
        return [
            Feature(name, f"{label} {part}", "date", part=part, spelling=kind.spelling)
            for part in DATE_PARTS
        ]
    form = FORM_OF_KIND.get(kind.name, kind.name)
    if form == "list":
        return [_fit_items(frame, Feature(name, label, "list", spelling=kind.spelling))]
    feature = Feature(name, label, form)
    return [_fit_words(frame, feature) if form == "words" else feature]


def _fit_known(frame: pl.DataFrame, features: Sequence[Feature]) -> list[Feature]:
    """The features, those that are read as one of few values with what is frequent; all of a form are counted at once."""
    alike: dict[Feature, list[int]] = {}
    for place, feature in enumerate(features):
        if not feature.is_text and feature.form != "number":
            alike.setdefault(replace(feature, column="cell", label=""), []).append(place)
    fitted = list(features)
    is_frequent = pl.col("count") >= min(MIN_ROWS, max(1, frame.height // 10))
    for form, places in alike.items():
        for part in chunks(places, frame.height):
            cells = stack_columns(frame, [features[place].column for place in part]).to_frame()
            read = cells.select(form.cell(numbers="bins")).to_series()
            counts = count_values(read, len(part)).filter(is_frequent)
            known = counts.group_by("column").agg(pl.col("value").head(MAX_KNOWN))
            for column, values in known.iter_rows():
                fitted[part[column]] = replace(features[part[column]], known=tuple(values))
    return fitted


def _is_telling(feature: Feature) -> bool:
    """Whether it says anything: a part of dates has to vary, and words have to repeat."""
    if feature.form == "date":
        return len(feature.known) > 1
    return bool(feature.known) or feature.form in ("text", "number", "list")


def _fit_words(frame: pl.DataFrame, feature: Feature) -> Feature:
    """Keep the words on at least half a percent of the rows: what rows share, not what tells them apart."""
    words = frame.select(feature.read().str.to_lowercase().str.extract_all(r"\w+").list.unique())
    counts = words.to_series().explode().drop_nulls().rename("word").value_counts()
    counts = counts.filter(pl.col("count") >= max(5, frame.height / 200)).sort(
        "count", "word", descending=[True, False]
    )
    return replace(feature, known=tuple(counts["word"][:MAX_KNOWN]))


def _fit_items(frame: pl.DataFrame, feature: Feature) -> Feature:
    items = frame.select(item=read_items(feature.read(), feature.spelling))
    counts = items.to_series().explode().drop_nulls().value_counts()
    counts = counts.filter(pl.col("count") >= min(MIN_ROWS, max(1, frame.height // 10)))
    counts = counts.sort("count", "item", descending=[True, False])
    return replace(feature, known=tuple(counts["item"][:MAX_KNOWN]))


def _fit_number(cells: np.ndarray, feature: Feature) -> Feature:
    numbers = np.clip(cells[~np.isnan(cells)], -1e300, 1e300)
    distinct = np.unique(numbers)
    if len(distinct) <= MAX_OWN_BINS:
        edges = np.unique(distinct[:-1] + np.diff(distinct) / 2)
        known = tuple(f"{value:.6g}" for value in distinct)
        if len(set(known)) == len(edges) + 1 == len(known):
            return replace(feature, known=known, edges=tuple(edges.tolist()))
    edges = _quantile_edges(numbers, choose_num_bins(len(numbers)))
    known = tuple(f"q{i}" for i in range(1, len(edges) + 2))
    return replace(feature, known=known, edges=tuple(edges.tolist()))


def choose_num_bins(num_values: int) -> int:
    """The cube root of the number of values, 8 to 64: more rows can tell finer bins apart."""
    return min(64, max(8, round(float(np.cbrt(num_values)))))


def _quantile_edges(numbers: np.ndarray, num_bins: int) -> np.ndarray:
    """Edges of bins with about equally many rows; a value on very many rows, such as 0, counts as one bin's worth."""
    distinct, counts = np.unique(numbers, return_counts=True)
    mass = np.cumsum(np.minimum(counts, len(numbers) / num_bins))
    places = np.searchsorted(mass, mass[-1] * np.arange(1, num_bins) / num_bins)
    return np.unique(distinct[places])


def _with_own_labels(features: list[Feature]) -> list[Feature]:
    counts = Counter(feature.label for feature in features)
    return [
        feature
        if counts[feature.label] == 1
        else replace(feature, label=f"{feature.column} {feature.part}".strip())
        for feature in features
    ]


def _state(kinds: Mapping[str, Kind], features: list[Feature]) -> list[str]:
    by_column = {feature.column: feature for feature in features}
    statements = []
    for form, title in (
        ("number", "numbers"),
        ("category", "categories"),
        ("ordinal", "ordered categories"),
        ("boolean", "yes or no"),
        ("date", "dates"),
        ("list", "lists"),
        ("text", "free text"),
    ):
        names = [name for name, kind in kinds.items() if kind.name == form and name in by_column]
        if names:
            statements.append(f"{title}: {shorten(names)}")
    for name, kind in kinds.items():
        if kind.spelling in SAID_SPELLINGS:
            statements.append(SAID_SPELLINGS[kind.spelling].format(name))
        if kind.odd:
            what = f"a {kind.name}"
            statements.append(f"{name}: read as {what}; {shorten(kind.odd)} count as missing")
        if kind.is_identifying:
            statements.append(_say_reduction(name, kind, by_column.get(name)))
    nothing = [name for name, kind in kinds.items() if kind.name == "nothing"]
    if nothing:
        statements.append(f"left out, without any value or with a single one: {shorten(nothing)}")
    return statements


def _say_reduction(name: str, kind: Kind, feature: Feature | None) -> str:
    start = f"{name} identifies rows ({kind.num_distinct} distinct of {kind.num_values})"
    end = "; keep it whole with data.text_columns"
    if feature is None:
        return f"{start}: left out{end}"
    shown = ", ".join(feature.known[:6]) + (", …" if len(feature.known) > 6 else "")
    what = {
        "title": "the title",
        "prefix": "the leading letters",
        "words": f"{len(feature.known)} frequent words",
    }[feature.form]
    return f"{start}: reduced to {what} ({shown}){end}"
