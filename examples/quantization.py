"""Weights in 4 or 8 bits: a quarter or an eighth of the memory, nearly the same answers."""

from models.factory import create_model

sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
model = create_model("bert", num_labels=2, **sizes)

from models.quantization_utils import quantize_model

# 4-bit quantization
quantized_model = quantize_model(
    model,
    bits=4,
    group_size=128
)

# 8-bit quantization
quantized_model = quantize_model(
    model,
    bits=8,
    quantize_embeddings=False
)
