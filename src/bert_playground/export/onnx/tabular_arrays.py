"""write_tabular: a model beside the encoder in an exported folder: its own files, and its numbers as predict.py reads them."""

from pathlib import Path
from typing import Any

import numpy as np

from bert_playground.tabular.features import TabularFeatures
from bert_playground.tabular.predictor import TabularPredictor

Array = np.ndarray[Any, Any]
ARRAYS = "arrays.npz"
MISSING = 255  # the code of a category that predict.py looks up for a missing or unknown one


def write_tabular(predictor: TabularPredictor, folder: Path) -> None:
    """Write the folder that `TabularPredictor.load` reads, and arrays.npz beside it.

    LightGBM and CatBoost read their own files there; of scikit-learn's models the arrays hold what they compute with.
    """
    predictor.save(folder)
    arrays: dict[str, Array] = {
        f"directions_{number}": np.asarray(each.components_)
        for number, each in predictor.features.directions.items()
    }
    for number, output in enumerate(predictor.outputs):
        if output.model is not None and predictor.name == "linear":
            matrix, intercepts = linear_arrays(output.model, predictor.features)
            arrays |= {f"coefficients_{number}": matrix, f"intercepts_{number}": intercepts}
        if output.model is not None and predictor.name == "boosting":
            trees = tree_arrays(output.model)
            arrays |= {f"trees_{number}_{name}": array for name, array in trees.items()}
    np.savez_compressed(folder / ARRAYS, allow_pickle=False, **arrays)


def linear_arrays(model: Any, features: TabularFeatures) -> tuple[Array, Array]:
    """Coefficients [C, K] of all columns, 0 for those that were not kept, and intercepts [K]; K is 1 of two classes and of a number."""
    coefficients = np.atleast_2d(model.coef_).T
    widths = [_sparse_width(features, number) for number in range(len(features.views))]
    matrix = np.zeros((sum(widths), coefficients.shape[1]))
    matrix[list(features.kept)] = coefficients
    return matrix, np.atleast_1d(model.intercept_)


def _sparse_width(features: TabularFeatures, number: int) -> int:
    view = features.views[number]
    if view.kind == "number":
        return len(features.scales[number].edges) + 3
    if view.kind in ("category", "items"):
        return len(view.values)
    return sum(len(weights.terms) for weights in features.weights[number])


def tree_arrays(model: Any) -> dict[str, Array]:
    """Histogram boosting's trees, one node after the other, as `standalone_tabular.walk_trees` reads them.

    scikit-learn puts categories before numbers and numbers them anew; here columns and codes are those of `TabularFeatures`.
    """
    columns, codes_of = _columns_of(model)
    known_sets, place_of = model._bin_mapper.make_known_categories_bitsets()
    parts: dict[str, list[Array]] = {}
    tables: list[Array] = [np.zeros((0, MISSING + 1), bool)]
    roots, outputs, count, num_tables = [], [], 0, 0
    for of_round in model._predictors:
        for output, tree in enumerate(of_round):
            nodes = tree.nodes
            places = np.arange(len(nodes)) + count
            is_leaf, is_category = nodes["is_leaf"] == 1, nodes["is_categorical"] == 1
            category = np.full(len(nodes), -1)
            for node in np.flatnonzero(is_category & ~is_leaf):
                feature = int(nodes["feature_idx"][node])
                left = tree.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
                known = known_sets[place_of[feature]]
                missing = bool(nodes["missing_go_to_left"][node])
                tables.append(_codes_left(codes_of[feature], left, known, missing)[None])
                category[node] = num_tables
                num_tables += 1
            found = {
                "column": np.where(is_leaf, 0, columns[nodes["feature_idx"]]),
                "threshold": nodes["num_threshold"],
                "missing_left": nodes["missing_go_to_left"] == 1,
                "category": category,
                "left": np.where(is_leaf, places, nodes["left"].astype(np.int64) + count),
                "right": np.where(is_leaf, places, nodes["right"].astype(np.int64) + count),
                "value": np.where(is_leaf, nodes["value"], 0.0),
            }
            for name, array in found.items():
                parts.setdefault(name, []).append(array)
            roots.append(count)
            outputs.append(output)
            count += len(nodes)
    depth = max(int(tree.nodes["depth"].max()) for each in model._predictors for tree in each)
    # A node of a number looks up a table too, of which nothing is used.
    tables.append(np.zeros((1, MISSING + 1), bool))
    return {
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
        "codes_left": np.concatenate(tables),
        "roots": np.array(roots),
        "output": np.array(outputs),
        "depth": np.array(depth),
        "begin": model._baseline_prediction.reshape(-1).astype(np.float64),
    }


def _columns_of(model: Any) -> tuple[Array, dict[int, Array]]:
    """The column of the matrix that each of the model's features is, and of categories the code that each number stands for."""
    if model._preprocessor is None:
        return np.arange(model.n_features_in_), {}
    flags = np.asarray(model.is_categorical_)  # of the model's own order: categories come first
    is_category = np.zeros(model.n_features_in_, bool)
    for name, _, chosen in model._preprocessor.transformers_:
        if name == "encoder":
            is_category = np.asarray(chosen)
    columns = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])
    encoder = model._preprocessor.named_transformers_["encoder"]
    codes = {place: np.asarray(each) for place, each in enumerate(encoder.categories_)}
    assert len(codes) == int(flags.sum())
    return columns, codes


def _codes_left(codes: Array, left: Array, known: Array, missing: bool) -> Array:
    """For each code from 0 to 254, and for a missing one at the end, whether it goes left: [256]."""
    table = np.full(MISSING + 1, missing)
    for number, code in enumerate(codes):
        if not np.isnan(code) and _has(known, number):
            table[int(code)] = _has(left, number)
    return table


def _has(bits: Array, number: int) -> bool:
    return bool(int(bits[number // 32]) >> (number % 32) & 1)
