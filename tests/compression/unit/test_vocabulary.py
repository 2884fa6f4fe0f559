"""trim_tokenizer: text of kept entries has the same pieces, other text smaller ones."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from bert_playground.compression.vocabulary import trim_tokenizer

WORDS = [
    "storm",
    "stormy",
    "flood",
    "flooded",
    "floods",
    "fire",
    "firefighter",
    "fired",
    "warm",
    "warming",
    "warns",
    "the",
    "a",
    "of",
    "city",
]
TEXTS = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    return with_ends(tokenizer)


def bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    return with_ends(tokenizer)


def with_ends(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def trimmed(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tokenizer, np.ndarray]:
    used = {number for text in texts for number in tokenizer.encode(text).ids}
    document, kept = trim_tokenizer(json.loads(tokenizer.to_str()), used)
    return Tokenizer.from_str(json.dumps(document)), kept


TOKENIZERS = {"WordPiece": wordpiece(), "BPE": bpe()}


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(chosen=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
def test_text_that_was_seen_is_read_as_before(kind: str, chosen: list[str]) -> None:
    whole, texts = TOKENIZERS[kind], [" ".join(chosen), " ".join(reversed(chosen))]
    smaller, kept = trimmed(whole, texts)
    assert len(kept) < whole.get_vocab_size()
    for text in texts:
        before, after = whole.encode(text), smaller.encode(text)
        assert after.tokens == before.tokens
        assert kept[after.ids].tolist() == before.ids


def test_other_words_are_read_in_smaller_pieces() -> None:
    smaller, _ = trimmed(TOKENIZERS["WordPiece"], ["flood the city"])
    tokens = smaller.encode("warning").tokens
    assert "[UNK]" not in tokens
    assert len(tokens) > len(TOKENIZERS["WordPiece"].encode("warning").tokens) - 1
    assert "".join(tokens[1:-1]).replace("##", "") == "warning"
    bytes_left, _ = trimmed(TOKENIZERS["BPE"], ["flood"])
    assert bytes_left.decode(bytes_left.encode(" firé").ids) == " firé"


def test_special_tokens_stay_and_are_numbered_anew() -> None:
    tokenizer = TOKENIZERS["WordPiece"]
    tokenizer.add_special_tokens(["[NUMBER]"])
    smaller, kept = trimmed(tokenizer, ["fire"])
    assert smaller.token_to_id("[NUMBER]") == len(kept) - 1
    assert smaller.encode("fire").ids[0] == smaller.token_to_id("[CLS]")


def test_another_kind_of_model_is_refused() -> None:
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    with pytest.raises(ValueError, match=r"Unigram tokenizer cannot be trimmed.*--keep-vocabulary"):
        trim_tokenizer(json.loads(unigram.to_str()), [1])
