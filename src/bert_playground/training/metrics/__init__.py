"""Metrics on scikit-learn, by name."""

from bert_playground.training.metrics.metric import Metric as Metric
from bert_playground.training.metrics.scorer import METRICS as METRICS
from bert_playground.training.metrics.scorer import choose_monitor as choose_monitor
from bert_playground.training.metrics.scorer import look_up_metric as look_up_metric
from bert_playground.training.metrics.scorer import make_scorer as make_scorer
