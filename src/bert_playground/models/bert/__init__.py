"""The encoders: each its config and its core."""

from bert_playground.models.bert.config import BertConfig as BertConfig
from bert_playground.models.bert.core import BertCore as BertCore
from bert_playground.models.bert.encoder import Encoder as Encoder
from bert_playground.models.bert.modernbert import ModernBertCore as ModernBertCore
from bert_playground.models.bert.modernbert_config import ModernBertConfig as ModernBertConfig
from bert_playground.models.bert.neobert import NeoBertConfig as NeoBertConfig
from bert_playground.models.bert.neobert import NeoBertCore as NeoBertCore
