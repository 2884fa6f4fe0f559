"""Training: the loop, what listens to it, metrics, and the story from tables to checkpoints."""

import bert_playground.logs  # noqa: F401 (silences the library's messages until they are asked for)
from bert_playground.training.run import create_trainer as create_trainer
from bert_playground.training.run import run_training as run_training
from bert_playground.training.run_folder import RunResult as RunResult
