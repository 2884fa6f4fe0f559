"""Bridges from the trainer to other tools."""

from bert_playground.training.integrations.mlflow import MLflowCallback as MLflowCallback
