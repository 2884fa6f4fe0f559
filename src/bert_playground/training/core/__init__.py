"""The loop: state, step, optimizer, resume, and the trainer that holds them together."""

from bert_playground.training.core.callback import Callback as Callback
from bert_playground.training.core.optimizers import OPTIMIZERS as OPTIMIZERS
from bert_playground.training.core.optimizers import AdamW as AdamW
from bert_playground.training.core.schedule import SCHEDULES as SCHEDULES
from bert_playground.training.core.schedule import Schedule as Schedule
from bert_playground.training.core.state import TrainState as TrainState
from bert_playground.training.core.trainer import Loop as Loop
from bert_playground.training.core.trainer import Trainer as Trainer
