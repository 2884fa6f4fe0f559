"""Bridges from the trainer to other tools."""

from bert_playground.training.integrations.mlflow import MLflowCallback as MLflowCallback
from bert_playground.training.integrations.mlflow import numbers_of as numbers_of
