"""Rows become columns of numbers, and the models beside the encoder answer them: the third part of predict.py."""

import importlib
import itertools
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bert_playground.export.onnx.standalone_cells import (
    WEEKDAYS,
    Row,
    read_date,
    read_items,
    read_number,
    say,
    value_of,
)
from bert_playground.export.onnx.standalone_rows import Array, complete

Cells = tuple[Array, Array, Array]  # row, column and value of all that are not zero
MOST_CATEGORIES, MOST_ITEMS = 255, 64
MOST_NUMBER, FARTHEST, FEW_VALUES = 1e30, 5.0, 20
CHARACTERS_READ, GRAM_SIZES = 300, (2, 3, 4, 5)
ROWS_AT_ONCE = 256  # that walk down all trees together


# ---- what a view sees of its column ----


def see_number(feature: dict[str, Any], cell: str | None) -> float:
    """A number, the days of a date since 1970, or a part of a date; NaN where there is none."""
    text = "" if cell is None else cell.strip()
    if feature["form"] == "number":
        number = read_number(None if cell is None else text, feature["spelling"])
        if number is None or math.isinf(number):
            return math.nan
        return min(max(number, -MOST_NUMBER), MOST_NUMBER)
    if feature["part"] == "days":
        date = read_date(text, feature["spelling"] or "%Y-%m-%d")
        return math.nan if date is None else float(date.toordinal() - 719163)
    said = say(feature, cell)
    if feature["part"] == "weekday":
        return float(WEEKDAYS.index(said)) if said in WEEKDAYS else math.nan
    return math.nan if said == "missing" else float(said)


def see_items(view: dict[str, Any], cells: list[str | None]) -> Array:
    """Which of the training rows' items are in a list, and how many it has: [R, V + 1]."""
    places = {item: place for place, item in enumerate(view["values"])}
    found = np.zeros((len(cells), len(places) + 1))
    for row, cell in enumerate(cells):
        items = read_items(value_of(cell) or "", view["feature"]["spelling"])
        found[row, -1] = len(items)
        found[row, [places[item] for item in items if item in places]] = 1
    return found


def see_codes(view: dict[str, Any], cells: list[str | None]) -> Array:
    """The place of a category among the training rows' ones, -1 for another: [R]."""
    places = {value: place for place, value in enumerate(view["values"])}
    return np.array([places.get(say(view["feature"], cell), -1) for cell in cells], dtype=np.int64)


def see_lengths(texts: list[str]) -> Array:
    """Words and characters, [R, 2]; NaN where there is no text."""
    lengths = [[float(len(re.findall(r"\S+", text))), float(len(text))] for text in texts]
    return np.array([each if each[1] else [math.nan, math.nan] for each in lengths])


def count_terms(of: str, text: str) -> Counter[str]:
    """How often a text has each word and each pair of neighbours, or each n-gram within its words."""
    if of == "words":
        words = re.findall(r"\w+", text.lower())
        return Counter([*words, *map(" ".join, itertools.pairwise(words))])
    counts: Counter[str] = Counter()
    for word in re.findall(r"\S+", text[:CHARACTERS_READ].lower()):
        word = f" {word} "
        for size in GRAM_SIZES:
            counts.update(word[start : start + size] for start in range(len(word) - size + 1))
    return counts


def weigh_terms(weights: dict[str, Any], texts: list[str]) -> Cells:
    """Tf-idf of the training rows' terms: 1 + log(count), times how rare a term is, in rows of one length."""
    places = {term: place for place, term in enumerate(weights["terms"])}
    rarity = weights["rarity"]
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, text in enumerate(texts):
        counts = count_terms(weights["of"], text)
        known = {places[term]: count for term, count in counts.items() if term in places}
        found = {place: (1 + math.log(count)) * rarity[place] for place, count in known.items()}
        length = math.sqrt(sum(value * value for value in found.values()))
        rows += [row] * len(found)
        columns += found
        values += [value * weights["length"] / length for value in found.values()]
    return np.array(rows, np.int64), np.array(columns, np.int64), np.array(values)


def cells_of(table: Array) -> Cells:
    """A dense table as its cells that are not zero."""
    rows, columns = np.nonzero(table)
    return rows, columns, table[rows, columns]


def multiply(cells: Cells, matrix: Array, num_rows: int) -> Array:
    """The product of a table [R, C] of such cells with a matrix [C, K]."""
    rows, columns, values = cells
    found = np.zeros((num_rows, matrix.shape[1]))
    np.add.at(found, rows, values[:, None] * matrix[columns])
    return found


class Columns:
    """What a model beside the encoder sees of rows: features.json, carried out."""

    def __init__(self, features: dict[str, Any], directions: dict[int, Array]) -> None:
        self.features, self.directions = features, directions
        self.views = [
            {**view, "feature": {**view["feature"], "numbers": "exact"}}
            for view in features["views"]
        ]

    def dense(self, rows: list[Row]) -> Array:
        """For trees: a code, a number, NaN where there is none, or directions of words; [R, C]."""
        parts = [np.zeros((len(rows), 0))]
        for number, view in enumerate(self.views):
            cells = [row[view["feature"]["column"]] for row in rows]
            if view["kind"] == "number":
                parts.append(np.array([[see_number(view["feature"], cell)] for cell in cells]))
            elif view["kind"] == "category":
                codes = see_codes(view, cells)
                is_known = (codes >= 0) & (codes < MOST_CATEGORIES)
                parts.append(np.where(is_known, codes, math.nan)[:, None])
            elif view["kind"] == "items":
                items = see_items(view, cells)
                parts += [items[:, :-1][:, :MOST_ITEMS], items[:, -1:]]
            else:
                texts = [value_of(cell) or "" for cell in cells]
                parts.append(see_lengths(texts))
                if number in self.directions:
                    (weights,) = self.features["weights"][str(number)]
                    found = weigh_terms(weights, texts)
                    parts.append(multiply(found, self.directions[number].T, len(rows)))
        table: Array = np.concatenate(parts, axis=1)[:, self.features["kept"]]
        return table

    def is_category(self) -> Array:
        """Which columns of `dense` are codes, [C]."""
        flags: list[bool] = []
        for number, view in enumerate(self.views):
            width = 1
            if view["kind"] == "items":
                width = min(len(view["values"]), MOST_ITEMS) + 1
            elif view["kind"] in ("text", "string"):
                width = 2 + len(self.directions.get(number, ()))
            flags += [view["kind"] == "category"] * width
        kept: Array = np.array(flags, dtype=bool)[self.features["kept"]]
        return kept

    def sparse(self, rows: list[Row]) -> Cells:
        """For linear models: numbers and their bins, categories, items and words; all columns, whether kept or not."""
        parts: list[Cells] = []
        width = 0
        for number, view in enumerate(self.views):
            cells = [row[view["feature"]["column"]] for row in rows]
            for part, own_width in self._sparse(number, view, cells):
                parts.append((part[0], part[1] + width, part[2]))
                width += own_width
        if not parts:
            return cells_of(np.zeros((len(rows), 0)))
        found = [np.concatenate(each) for each in zip(*parts, strict=True)]
        return found[0], found[1], found[2]

    def _sparse(
        self, number: int, view: dict[str, Any], cells: list[str | None]
    ) -> list[tuple[Cells, int]]:
        """Each part with its number of columns."""
        size = len(view["values"])
        if view["kind"] == "number":
            values = np.array([see_number(view["feature"], cell) for cell in cells])
            return [self._scale(values, *self.features["scales"][str(number)])]
        if view["kind"] == "category":
            codes = see_codes(view, cells)
            known = np.flatnonzero(codes >= 0)
            share = min(1.0, (FEW_VALUES / max(1, size)) ** 0.5)
            return [((known, codes[known], np.full(len(known), share)), size)]
        if view["kind"] == "items":
            return [(cells_of(see_items(view, cells)[:, :-1]), size)]
        texts = [value_of(cell) or "" for cell in cells]
        each = self.features["weights"][str(number)]
        return [(weigh_terms(weights, texts), len(weights["terms"])) for weights in each]

    def _scale(
        self, values: Array, mean: float, scale: float, edges: list[float]
    ) -> tuple[Cells, int]:
        """A number standardised, its bin, and whether it is missing."""
        is_missing = np.isnan(values)
        bins = np.searchsorted(np.array(edges), values)
        bins[is_missing] = len(edges) + 1
        table = np.zeros((len(values), len(edges) + 3))
        table[:, 0] = np.clip((values - mean) / scale, -FARTHEST, FARTHEST)
        table[is_missing, 0] = 0.0
        table[np.arange(len(values)), 1 + bins] = 1.0
        return cells_of(table), table.shape[1]


# ---- models ----


def walk_trees(trees: dict[str, Array], values: Array) -> Array:
    """The sums of the leaves that rows [R, C] come to, on top of what the trees begin with: [R, K].

    A node has a column, a threshold up to which one goes left, or of a category the codes that go left, and says where a
    missing value goes. A leaf leads to itself.
    """
    found = np.repeat(trees["begin"][None], len(values), axis=0)
    for start in range(0, len(values), ROWS_AT_ONCE):
        part = values[start : start + ROWS_AT_ONCE]
        rows = np.arange(len(part))[:, None]
        at = np.repeat(trees["roots"][None], len(part), axis=0)
        for _ in range(int(trees["depth"])):
            cells = part[rows, trees["column"][at]]
            is_missing, category = np.isnan(cells), trees["category"][at]
            codes = np.where((category < 0) | is_missing, MOST_CATEGORIES, cells).astype(np.int64)
            goes_left = np.where(
                category < 0,
                np.where(is_missing, trees["missing_left"][at], cells <= trees["threshold"][at]),
                trees["codes_left"][category, codes],
            )
            at = np.where(goes_left, trees["left"][at], trees["right"][at])
        np.add.at(found[start : start + ROWS_AT_ONCE].T, trees["output"], trees["value"][at].T)
    return found


def link(raw: Array, num_classes: int | None) -> Array:
    """Probabilities [R, K] of what a model computes [R, 1] or [R, K]; of numbers themselves [R]."""
    if num_classes is None:
        return raw[:, 0]
    if num_classes == 2:
        shares = 1 / (1 + np.exp(-np.clip(raw[:, 0], -700, 700)))
        return np.stack([1 - shares, shares], axis=1)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def need(package: str) -> Any:
    """A library that one of the models is of."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise SystemExit(
            f"one of the models is of {package}, which is not installed: pip install {package}"
        ) from error


def ask_lightgbm(path: Path, values: Array, num_classes: int | None) -> Array:
    """LightGBM's own answers."""
    lightgbm = need("lightgbm")
    model = lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
    found = np.asarray(model.predict(values))
    return np.stack([1 - found, found], axis=1) if num_classes == 2 else found


def ask_catboost(path: Path, values: Array, is_category: Array, num_classes: int | None) -> Array:
    """CatBoost's own answers; a category is the digits of its code."""
    catboost = need("catboost")
    numbers = values[:, ~is_category].astype(np.float32)
    codes = np.nan_to_num(values[:, is_category], nan=-1).astype(np.int64)
    words = codes.astype("S20").astype(object)
    kinds = {
        "num_feature_data": numbers if numbers.shape[1] else None,
        "cat_feature_data": words if words.shape[1] else None,
    }
    kind = catboost.CatBoostRegressor if num_classes is None else catboost.CatBoostClassifier
    model = kind().load_model(str(path), format="cbm")
    asked = "RawFormulaVal" if num_classes is None else "Probability"
    pool = catboost.Pool(catboost.FeaturesData(**kinds))
    return np.asarray(model.predict(pool, prediction_type=asked))


class TabularMember:
    """A model beside the encoder with its way to read rows."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder, self.plan = folder, plan
        read = [folder / "features.json", folder / "estimator.json"]
        features, self.estimator = (json.loads(path.read_text(encoding="utf-8")) for path in read)
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            self.arrays = dict(arrays)
        named = [name for name in self.arrays if name.startswith("directions_")]
        directions = {int(name.partition("_")[2]): self.arrays[name] for name in named}
        self.columns = Columns(features, directions)

    def score(self, rows: list[Row]) -> Array:
        """Its scores in the order of the rows, rounded to f32 as `bert predict` does."""
        rows = complete(rows, self.plan)
        answers = [
            self._answer(number, output, rows)
            for number, output in enumerate(self.estimator["outputs"])
        ]
        if self.plan["has_many_targets"]:
            ones = [each[:, 1] if each.ndim == 2 else each for each in answers]
            scores = np.stack(ones, axis=1)
        else:
            scores = answers[0][:, 1] if self.estimator["task"] == "binary" else answers[0]
        return scores.astype(np.float32).astype(np.float64)

    def _answer(self, number: int, output: dict[str, Any], rows: list[Row]) -> Array:
        """Probabilities of all classes [R, K], or numbers [R]."""
        if not output["has_model"]:
            table = np.tile(np.array(output["constant"]), (len(rows), 1))
            return table[:, 0] if output["num_classes"] is None else table
        found = self._ask(number, len(output["classes"]) or None, rows)
        if output["num_classes"] is None:
            return found
        answers = np.zeros((len(rows), output["num_classes"]))
        answers[:, output["classes"]] = found
        return answers

    def _ask(self, number: int, num_classes: int | None, rows: list[Row]) -> Array:
        name = self.estimator["estimator"]
        if name == "linear":
            cells, matrix = self.columns.sparse(rows), self.arrays[f"coefficients_{number}"]
            raw = multiply(cells, matrix, len(rows)) + self.arrays[f"intercepts_{number}"]
            return link(raw, num_classes)
        values = self.columns.dense(rows)
        if name == "lightgbm":
            return ask_lightgbm(self.folder / f"model_{number}.txt", values, num_classes)
        if name == "catboost":
            path, is_category = self.folder / f"model_{number}.cbm", self.columns.is_category()
            return ask_catboost(path, values, is_category, num_classes)
        start = f"trees_{number}_"
        trees = {
            key.removeprefix(start): array
            for key, array in self.arrays.items()
            if key.startswith(start)
        }
        return link(walk_trees(trees, values), num_classes)
