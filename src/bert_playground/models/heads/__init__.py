"""The heads: vectors in, an answer out, each with its loss."""

from bert_playground.models.heads.base import BaseHead as BaseHead
from bert_playground.models.heads.classification import (
    BinaryClassificationHead as BinaryClassificationHead,
)
from bert_playground.models.heads.classification import (
    MulticlassClassificationHead as MulticlassClassificationHead,
)
from bert_playground.models.heads.classification import (
    MultilabelClassificationHead as MultilabelClassificationHead,
)
from bert_playground.models.heads.config import HeadConfig as HeadConfig
from bert_playground.models.heads.ordinal import OrdinalRegressionHead as OrdinalRegressionHead
from bert_playground.models.heads.registry import HEADS as HEADS
from bert_playground.models.heads.registry import create_head as create_head
from bert_playground.models.heads.regression import RegressionHead as RegressionHead
from bert_playground.models.heads.regression import (
    TimeSeriesRegressionHead as TimeSeriesRegressionHead,
)
