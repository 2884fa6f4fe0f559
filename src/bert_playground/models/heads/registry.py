"""HEADS: the name of a head and its class."""

from bert_playground.lookup import look_up
from bert_playground.models.heads.base import BaseHead, HeadConfig
from bert_playground.models.heads.classification import (
    BinaryClassificationHead,
    MulticlassClassificationHead,
)
from bert_playground.models.heads.regression import RegressionHead

HEADS: dict[str, type[BaseHead]] = {
    "binary": BinaryClassificationHead,
    "multiclass": MulticlassClassificationHead,
    "regression": RegressionHead,
}


def create_head(config: HeadConfig) -> BaseHead:
    """Make the head that `config.head_type` names.

    Raises:
        ValueError: no such head.
    """
    return look_up(HEADS, config.head_type, "head").from_config(config)
