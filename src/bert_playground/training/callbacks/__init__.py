"""What listens to the trainer."""

from bert_playground.training.callbacks.checkpointing import Checkpointing as Checkpointing
from bert_playground.training.callbacks.checkpointing import CheckpointPolicy as CheckpointPolicy
from bert_playground.training.callbacks.curves import Curves as Curves
from bert_playground.training.callbacks.early_stopping import EarlyStopping as EarlyStopping
from bert_playground.training.callbacks.metrics_log import MetricsLog as MetricsLog
from bert_playground.training.callbacks.progress import create_progress as create_progress
