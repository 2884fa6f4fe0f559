"""save_sklearn, load_sklearn: scikit-learn models as skops files, of which nothing but what is listed here is read."""

import json
import zipfile
from pathlib import Path
from typing import Any

from bert_playground.lookup import shorten

_BOOSTING = "sklearn.ensemble._hist_gradient_boosting"
# Type → the reader of skops that may make one. A reader that calls functions has one function to call: the check of arrays
# that histogram boosting applies to its own columns.
TRUSTED = {
    "ObjectNode": (
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.linear_model._ridge.Ridge",
        "sklearn.decomposition._truncated_svd.TruncatedSVD",
        f"{_BOOSTING}.gradient_boosting.HistGradientBoostingClassifier",
        f"{_BOOSTING}.gradient_boosting.HistGradientBoostingRegressor",
        f"{_BOOSTING}.binning._BinMapper",
        f"{_BOOSTING}.predictor.TreePredictor",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.preprocessing._encoders.OrdinalEncoder",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
        "sklearn.preprocessing._label.LabelEncoder",
    ),
    "LossNode": (
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
    ),
    "NdArrayNode": (
        "numpy.ndarray",
        "numpy.bool",
        "numpy.float32",
        "numpy.float64",
        "numpy.int32",
        "numpy.int64",
        "numpy.uint64",
    ),
    "RandomGeneratorNode": ("numpy.random._generator.Generator",),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "SliceNode": ("builtins.slice",),
    "JsonNode": ("builtins.str",),
    "TypeNode": ("builtins.int", "builtins.str", "numpy.float32", "numpy.float64"),
    "PartialNode": ("functools.partial",),
    "FunctionNode": ("sklearn.utils.validation.check_array",),
}
_ASKED = {name for names in TRUSTED.values() for name in names}


def save_sklearn(model: Any, path: Path) -> None:
    """Write a model."""
    import skops.io

    skops.io.dump(model, path)


def load_sklearn(path: Path) -> Any:
    """Read what `save_sklearn` wrote.

    Raises:
        ValueError: the file is damaged, or holds types that are not trusted.
    """
    import skops.io

    try:
        with zipfile.ZipFile(path) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"it is no skops file ({error})") from error
    nodes = _find_nodes(schema)
    strange = sorted({name for name, loader in nodes if not _is_trusted(name, loader)})
    if strange:
        raise ValueError(
            f"it holds types that are not trusted: {shorten(strange)}; load only what `bert train` or fit_tabular wrote"
        )
    try:
        # Not all of _ASKED: skops looks each node's type up in the whole list.
        return skops.io.load(path, trusted=sorted({name for name, _ in nodes} & _ASKED))
    # Of a file that was changed, skops and scikit-learn raise whatever a missing part leads to.
    except Exception as error:
        raise ValueError(f"skops cannot read it ({type(error).__name__}: {error})") from error


def _find_nodes(schema: Any) -> set[tuple[str, str]]:
    """Type and reader of all that a schema describes."""
    found, rest = set(), [schema]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            if "__loader__" in node or "__class__" in node:
                name = f"{node.get('__module__')}.{node.get('__class__')}"
                found.add((name, str(node.get("__loader__"))))
            rest.extend(node.values())
        elif isinstance(node, list):
            rest.extend(node)
    return found


def _is_trusted(name: str, loader: str) -> bool:
    return name in TRUSTED.get(loader, ())
