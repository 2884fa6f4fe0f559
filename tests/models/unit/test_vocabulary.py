"""Tokens that were added to a tokenizer get word vectors; a tokenizer of another model does not."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.huggingface import Pretrained, load_encoder, read_pretrained
from bert_playground.models.masked_lm import create_masked_lm, load_masked_lm, save_masked_lm
from bert_playground.models.vocabulary import grow_vocabulary
from tests.models.tiny import VOCAB_SIZE, make_encoder, make_rows

ADDED = {VOCAB_SIZE: "<brand>", VOCAB_SIZE + 1: "<size>"}


def read(name: str, folder: Path, **options: Any) -> Pretrained:
    save_masked_lm(create_masked_lm(make_encoder(name, **options)), folder)
    return read_pretrained(folder)


@pytest.mark.parametrize("name", ENCODERS)
def test_added_tokens_start_from_the_mean(name: str, tmp_path: Path) -> None:
    pretrained = read(name, tmp_path)
    grown = grow_vocabulary(pretrained, VOCAB_SIZE + 2, ADDED)
    encoder = load_encoder(grown).eval()
    words = encoder.embeddings.words.weight
    assert words.shape == (VOCAB_SIZE + 2, 32)
    assert mx.allclose(words[-1], words[:VOCAB_SIZE].mean(axis=0))
    assert encoder.config.vocab_size == VOCAB_SIZE + 2
    rows = make_rows([9, 4])
    assert mx.array_equal(encoder.encode(rows), load_encoder(pretrained).eval().encode(rows))
    model, report = load_masked_lm(grown)
    assert model(rows).shape[-1] == VOCAB_SIZE + 2
    assert report.missing == []


def test_a_vocabulary_that_fits_changes_nothing(tmp_path: Path) -> None:
    pretrained = read("bert", tmp_path)
    assert grow_vocabulary(pretrained, VOCAB_SIZE, ADDED) is pretrained
    assert grow_vocabulary(pretrained, VOCAB_SIZE - 5, {}) is pretrained


def test_the_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    pretrained = read("bert", tmp_path)
    with pytest.raises(ValueError, match=r"52 entries.*has 50, and 1 of those.*do not belong"):
        grow_vocabulary(pretrained, VOCAB_SIZE + 2, {VOCAB_SIZE: "<brand>"})


def test_a_folder_of_ours_that_lacks_words_is_damaged(tmp_path: Path) -> None:
    pretrained = read("bert", tmp_path)
    (tmp_path / "pipeline.json").write_text("{}")
    with pytest.raises(ValueError, match="2 of those without a vector were not added"):
        grow_vocabulary(pretrained, VOCAB_SIZE + 2, ADDED)


def test_adapters_do_not_grow_their_base(tmp_path: Path) -> None:
    pretrained = read("bert", tmp_path)
    with pytest.raises(ValueError, match=r"2 added tokens \(<brand>, <size>\).*leave out --lora"):
        grow_vocabulary(pretrained, VOCAB_SIZE + 2, ADDED, is_frozen=True)
