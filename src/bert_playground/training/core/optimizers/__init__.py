"""The family of optimizers: OPTIMIZERS, by the names that torch and transformers use."""

from bert_playground.training.core.optimizers.adafactor import Adafactor as Adafactor
from bert_playground.training.core.optimizers.adam import Adam as Adam
from bert_playground.training.core.optimizers.adam import AdamW as AdamW
from bert_playground.training.core.optimizers.grouped import GroupedOptimizer as GroupedOptimizer
from bert_playground.training.core.optimizers.lion import Lion as Lion
from bert_playground.training.core.optimizers.muon import Muon as Muon
from bert_playground.training.core.optimizers.registry import OPTIMIZERS as OPTIMIZERS
from bert_playground.training.core.optimizers.registry import optimizer_options as optimizer_options
from bert_playground.training.core.optimizers.sgd import SGD as SGD
