"""make_tokenizer: that of a checkpoint, or one whose vocabulary is trained on rows."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from bert_playground.data.columns.dictionary_encoding import join_cells
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.templates import (
    TEMPLATES,
    Template,
    known_cells,
    render_cells,
)
from bert_playground.data.tokens.tokenizer import TextTokenizer, train_tokenizer


def make_tokenizer(
    frame: pl.DataFrame,
    features: Sequence[Feature],
    forms: Sequence[Template],
    pretrained_dir: Path | None,
    vocab_size: int,
) -> TextTokenizer:
    """The tokenizer of a checkpoint, or one trained on rows.

    Args:
        frame: the training rows.
        features: the pieces of a row's text.
        forms: how rows may be written; each known cell of the first is one token.
        pretrained_dir: a checkpoint folder; None: a vocabulary is trained.
        vocab_size: most entries of a trained vocabulary.
    """
    if pretrained_dir is not None:
        own = pretrained_dir / "tokenizer"  # where `bert train` and `bert pretrain` put it
        return TextTokenizer.load(own if (own / "tokenizer.json").exists() else pretrained_dir)
    texts: list[str] = []
    for form in forms:
        plain = (
            TEMPLATES["key_value"] if form.binned else replace(form, between=form.between or " ")
        )
        texts += join_cells(render_cells(frame, features, plain)).to_list()
    return train_tokenizer(texts, vocab_size, known_cells(features, forms[0]))


def set_num_workers(num_workers: int | None) -> None:
    """The Rust tokenizer reads its thread count from the environment, once, at its first use."""
    if num_workers is not None:
        os.environ.setdefault("RAYON_NUM_THREADS", str(max(num_workers, 1)))
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if num_workers > 1 else "false")


def find_tokenizer_folder(folder: Path) -> Path:
    """Beside the weights in an exported folder, where transformers looks for it; else in a folder of its own."""
    return folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
