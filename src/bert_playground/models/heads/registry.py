"""HEADS: the name of a head and its class."""

from bert_playground.lookup import look_up
from bert_playground.models.heads.base import BaseHead
from bert_playground.models.heads.classification import (
    BinaryClassificationHead,
    MulticlassClassificationHead,
    MultilabelClassificationHead,
)
from bert_playground.models.heads.config import HeadConfig
from bert_playground.models.heads.ordinal import OrdinalRegressionHead
from bert_playground.models.heads.regression import RegressionHead, TimeSeriesRegressionHead

# A head of your own is one line: HEADS["mine"] = MyHead
HEADS: dict[str, type[BaseHead]] = {
    "binary": BinaryClassificationHead,
    "multiclass": MulticlassClassificationHead,
    "multilabel": MultilabelClassificationHead,
    "regression": RegressionHead,
    "ordinal": OrdinalRegressionHead,
    "timeseries": TimeSeriesRegressionHead,
}


def create_head(config: HeadConfig) -> BaseHead:
    """Make the head that `config.head_type` names.

    Raises:
        ValueError: no such head.
    """
    return look_up(HEADS, config.head_type, "head").from_config(config)
