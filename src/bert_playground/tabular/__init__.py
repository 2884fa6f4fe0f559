"""Models beside the encoder, on the same rows: constant, linear, gradient boosting."""

from bert_playground.tabular.estimators import ESTIMATORS as ESTIMATORS
from bert_playground.tabular.estimators import available_estimators as available_estimators
from bert_playground.tabular.predictor import TabularPredictor as TabularPredictor
from bert_playground.tabular.predictor import fit_tabular as fit_tabular
