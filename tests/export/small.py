"""Small checkpoints with a tokenizer, for tests of exports."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx

from bert_playground.data.tokens.tokenizer import TextTokenizer, train_tokenizer
from bert_playground.export.tokenizer_files import tokenizer_config
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model

TEXTS = [
    "port: Cork, age: 31.5, fare: 7",
    "port: Le Havre, age: 4",
    "[SEP] is a word here, and the row is longer than the others by far: port: Southampton, fare: 88",
]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
NUM_LABELS = {"multiclass": 3, "multilabel": 4, "ordinal": 4, "timeseries": 5}


def make_tokenizer() -> TextTokenizer:
    return train_tokenizer(TEXTS * 20, 300)


def make_model(encoder: str, head: str, **options: Any) -> BertWithHead:
    """A tiny model whose answers differ from row to row."""
    mx.random.seed(0)
    local = {"local_attention": 8} if encoder == "modernbert" else {}
    labels = NUM_LABELS.get(head)
    vocab_size = make_tokenizer().vocab_size
    sizes = {**SIZES, **local, **options}
    model = create_model(encoder, head, labels, vocab_size=vocab_size, **sizes)
    for number, linear in enumerate((model.head.classifier, model.head.get("dense"))):
        if linear is not None:
            linear.weight = mx.random.normal(linear.weight.shape, key=mx.random.key(number)) / 3
    if "bias" in model.head.classifier:
        bias = model.head.classifier.bias
        model.head.classifier.bias = mx.random.normal(bias.shape, key=mx.random.key(9))
    return model.eval()


def save_checkpoint(model: BertWithHead, folder: Path, labels: list[str] | None = None) -> Path:
    """A checkpoint folder with the tokenizer files of a Hugging Face folder."""
    save_model(model, folder, labels)
    tokenizer = make_tokenizer()
    (folder / "tokenizer.json").write_text(tokenizer.to_json())
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(tokenizer, 64)))
    return folder
