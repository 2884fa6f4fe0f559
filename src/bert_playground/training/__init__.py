"""Training: the loop, what listens to it, metrics, and the whole story from tables to checkpoints."""

from bert_playground.training.run import RunResult as RunResult
from bert_playground.training.run import create_trainer as create_trainer
from bert_playground.training.run import run_training as run_training
