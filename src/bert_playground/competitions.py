"""COMPETITIONS: the known data sets, for those who may not read the configuration."""

from bert_playground.config.datasets import DATASETS as COMPETITIONS
from bert_playground.config.datasets import DatasetEntry as Competition
from bert_playground.config.datasets import find_dataset as find_competition

__all__ = ["COMPETITIONS", "Competition", "find_competition"]
