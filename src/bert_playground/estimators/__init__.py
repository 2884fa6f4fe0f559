"""Estimators in scikit-learn's manner."""

from .classifier import BertClassifier as BertClassifier
from .embedder import BertEmbedder as BertEmbedder
from .regressor import BertRegressor as BertRegressor
