"""Adapters: freeze a model, train a few numbers beside its weights."""

from models.bert import BertConfig, BertCore

bert = BertCore(BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4))

from models.lora import LoRAConfig, LoRAAdapter

# Configure LoRA
lora_config = LoRAConfig(
    r=8,  # Rank
    alpha=16,  # Scaling factor
    dropout=0.1,
    target_modules=["query", "value"]  # Which layers to adapt
)

# Apply to model
lora_adapter = LoRAAdapter(bert, lora_config)

from models.lora import create_lora_config

# Efficient: r=4, minimal parameters
config = create_lora_config("efficient")

# Balanced: r=8, good trade-off
config = create_lora_config("balanced")

# Expressive: r=16, maximum flexibility
config = create_lora_config("expressive")

# QLoRA: 4-bit quantization + LoRA
config = create_lora_config("qlora_memory")
