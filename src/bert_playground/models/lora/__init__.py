"""Low-rank adapters: train a few numbers beside frozen weights."""

from bert_playground.models.lora.adapter import Base as Base
from bert_playground.models.lora.adapter import LoRAAdapter as LoRAAdapter
from bert_playground.models.lora.config import LORA_PRESETS as LORA_PRESETS
from bert_playground.models.lora.config import LoRAConfig as LoRAConfig
from bert_playground.models.lora.config import create_lora_config as create_lora_config
from bert_playground.models.lora.layers import DoRALinear as DoRALinear
from bert_playground.models.lora.layers import LoRALinear as LoRALinear
from bert_playground.models.lora.merging import merged_parameters as merged_parameters
