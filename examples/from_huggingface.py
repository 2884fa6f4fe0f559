"""A published checkpoint with adapters and a head; it is downloaded at the first run."""

from models.factory import load_from_huggingface

# Load pretrained model
model = load_from_huggingface(
    "answerdotai/ModernBERT-base",
    add_lora=True,
    task="classification"
)
