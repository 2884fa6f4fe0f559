"""The three encoders: configure one, look into it, ask it for hidden states."""

from models.bert import BertCore, BertConfig

# Create BERT-base configuration
config = BertConfig(
    vocab_size=30522,
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    max_position_embeddings=512
)

# Initialize model
bert = BertCore(config)

from models.bert import ModernBertCore, ModernBertConfig

# Create ModernBERT configuration
config = ModernBertConfig(
    vocab_size=50265,
    hidden_size=768,
    num_hidden_layers=22,
    num_attention_heads=12,
    intermediate_size=2688,
    max_position_embeddings=8192,
    rope_theta=160000,
    attention_dropout=0.0,
    alternating_attention=True
)

# Initialize model
modern_bert = ModernBertCore(config)

from models.factory import create_model

# Create neoBERT
neo_bert = create_model("neobert", num_labels=2)

# Hidden states of two rows, the second one padded.
import mlx.core as mx

input_ids = mx.array([[2, 9, 8, 7, 3], [2, 9, 3, 0, 0]])
attention_mask = mx.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
bert.eval()
hidden = bert(input_ids, attention_mask)
print("hidden states", hidden.shape)
print("attention of layer 0", bert.attention_weights(input_ids, attention_mask)[0].shape)
