"""to_pandas, make_signature: tables as MLflow's models take and give them."""

from typing import Any

import polars as pl

PARAMS = {"proba": False, "tta": 1}  # of a prediction, with their defaults


def to_pandas(frame: pl.DataFrame) -> Any:
    """A pandas frame of plain Python values; Polars' own way would need pyarrow."""
    import pandas as pd

    return pd.DataFrame({column.name: column.to_list() for column in frame.iter_columns()})


def make_signature(rows: pl.DataFrame, answers: pl.DataFrame) -> Any:
    """What a model takes and gives.

    Columns may hold any type and may be missing: the model reads text, and says itself which it cannot do without.

    Args:
        rows: of the table, without its target.
        answers: to them.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    inputs = Schema([ColSpec(AnyType(), name, required=False) for name in rows.columns])
    outputs = Schema([ColSpec(_type_of(column), column.name) for column in answers.iter_columns()])
    params = ParamSchema(
        [ParamSpec("proba", "boolean", PARAMS["proba"]), ParamSpec("tta", "long", PARAMS["tta"])]
    )
    return ModelSignature(inputs, outputs, params)


def _type_of(column: pl.Series) -> str:
    kind = column.dtype
    if kind == pl.Boolean:
        return "boolean"
    if kind.is_integer():
        return "long"
    return "double" if kind.is_float() else "string"
