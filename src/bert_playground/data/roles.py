"""find_roles: target, id column and task of a table, as the configuration says or as they are inferred."""

import polars as pl

from bert_playground.config.datasets import load_datasets
from bert_playground.config.schema import DataSection
from bert_playground.data.core.columns import Roles, infer_roles


def find_roles(
    frame: pl.DataFrame, options: DataSection, test_columns: list[str] | None = None
) -> Roles:
    """`infer_roles` with what the user has decided, and with data sets of the user's own.

    Args:
        frame: the training table, all cells as text.
        options: what is None there is inferred.
        test_columns: of the table to predict, where it is known.

    Raises:
        ValueError: see `infer_roles`; or the registry is faulty.
    """
    return infer_roles(
        frame,
        target=options.target,
        id_column=options.id_column,
        task=options.task,
        test_columns=test_columns,
        datasets=load_datasets(options.registry),
    )
