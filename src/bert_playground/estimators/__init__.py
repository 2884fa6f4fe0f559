"""Estimators in scikit-learn's manner, on the training and the prediction of the command line."""

from .classifier import BertClassifier as BertClassifier
from .embedder import BertEmbedder as BertEmbedder
from .regressor import BertRegressor as BertRegressor
