"""Fixtures: a tiny model, and a table whose answer is one token."""

import signal
from collections.abc import Callable, Iterator

import mlx.core as mx
import numpy as np
import pytest

from bert_playground import kernels
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.models.bert import BertConfig, BertCore
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.heads import (
    BinaryClassificationHead,
    MulticlassClassificationHead,
    RegressionHead,
)

VOCABULARY = 50


@pytest.fixture
def make_model() -> Callable[..., BertWithHead]:
    """A function that makes the same tiny model each time it is called with the same arguments."""

    def make(task: str = "binary", *, dropout: float = 0.1, seed: int = 0) -> BertWithHead:
        mx.random.seed(seed)
        config = BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=0.0,
        )
        options = {"hidden_dropout_prob": dropout, "pooling": "cls"}
        head = {
            "binary": lambda: BinaryClassificationHead(16, **options),
            "multiclass": lambda: MulticlassClassificationHead(16, 3, **options),
            "regression": lambda: RegressionHead(16, **options),
        }[task]()
        model = BertWithHead(BertCore(config), head)
        mx.eval(model.parameters())
        return model

    return make


@pytest.fixture
def make_loader() -> Callable[..., MLXLoader]:
    """A function that makes a loader of rows whose label is told by their second token."""

    def make(
        num_rows: int = 40,
        *,
        batch_size: int = 8,
        shuffle: bool = True,
        task: str = "binary",
        seed: int = 0,
    ) -> MLXLoader:
        random = np.random.default_rng(seed)
        lengths = random.integers(4, 10, num_rows)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ids = random.integers(10, VOCABULARY, offsets[-1]).astype(np.int32)
        answers = random.integers(0, 3 if task == "multiclass" else 2, num_rows)
        ids[offsets[:-1]] = 2
        ids[offsets[:-1] + 1] = 5 + answers
        labels = (
            (answers * 2.0 - 1.0).astype(np.float32)
            if task == "regression"
            else answers.astype(np.int32)
        )
        return MLXLoader(
            TokenizedTable(ids, offsets, labels),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            layout="packed" if kernels.is_native() else "padded",
            prefetch_size=0,
        )

    return make


@pytest.fixture
def _ctrl_c_as_on_a_terminal() -> Iterator[None]:
    """A shell that starts tests in the background makes them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
