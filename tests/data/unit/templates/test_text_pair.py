"""Text pairs: the ids, types and cuts of the tokenizers library, in both layouts."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.config.schema import DataSection
from bert_playground.data.columns.dictionary_encoding import dictionary_encode
from bert_playground.data.loaders.batching import pack, pad
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.templates.text_pair import encode_pair, share_room
from bert_playground.data.tokens.tokenizer import TextTokenizer, train_tokenizer
from tests.fitting import fit_pipeline

WORDS = ["the cat sat", "on a mat", "dogs run far away from here", "", "cats", "a b c d e f g h"]


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return train_tokenizer(WORDS * 3, 300)


def columns(first, second):
    return [dictionary_encode(pl.Series("a", first)), dictionary_encode(pl.Series("b", second))]


@pytest.mark.parametrize("max_length", [5, 6, 9, 12, 40])
def test_ids_and_types_are_those_of_the_library(tokenizer, max_length) -> None:
    pairs = [(a, b) for a in WORDS for b in WORDS]
    table = encode_pair(tokenizer, columns(*zip(*pairs, strict=True)), max_length)
    whole = tokenizer.tokenizer.from_str(tokenizer.to_json())
    whole.enable_truncation(max_length, strategy="longest_first")
    expected = whole.encode_batch(pairs)
    tokens = pack(table, np.arange(len(pairs)))
    assert np.array(tokens.input_ids).tolist() == [i for e in expected for i in e.ids]
    assert np.array(tokens.token_type_ids).tolist() == [i for e in expected for i in e.type_ids]
    assert table.lengths.tolist() == [len(e.ids) for e in expected]


@pytest.mark.parametrize("max_length", [12, 13])
def test_long_texts_have_the_ids_of_the_library_though_not_read_to_their_ends(
    tokenizer, max_length
) -> None:
    # Longer than the beginnings that are looked at, of 16 letters a token; the library takes seconds for much longer ones.
    texts = ["a lazy dog " * 30, "jumps over " * 33, "dog", "a lazy dog " * 31]
    pairs = [(a, b) for a in texts for b in texts]
    table = encode_pair(tokenizer, columns(*zip(*pairs, strict=True)), max_length)
    whole = tokenizer.tokenizer.from_str(tokenizer.to_json())
    whole.enable_truncation(max_length, strategy="longest_first")
    assert [row.tolist() for row in table.rows()] == [e.ids for e in whole.encode_batch(pairs)]


def test_padded_rows_have_the_same_types(tokenizer) -> None:
    table = encode_pair(tokenizer, columns(WORDS, WORDS[::-1]), 16)
    rows = np.array([3, 0, 5])
    packed, padded = pack(table, rows), pad(table, rows, 8, 0)
    mask = np.array(padded.attention_mask)
    np.testing.assert_array_equal(
        np.array(padded.token_type_ids)[mask], np.array(packed.token_type_ids)
    )
    assert not np.array(padded.token_type_ids)[~mask].any()


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 40))
def test_the_longer_text_is_cut(first, second, room) -> None:
    kept = [int(k[0]) for k in share_room(np.array([first]), np.array([second]), room)]
    assert sum(kept) == min(first + second, room)
    assert kept[0] <= first
    assert kept[1] <= second
    if first <= room // 2:
        assert kept[0] == first


def test_a_pair_survives_saving(tmp_path) -> None:
    frame = pl.DataFrame(
        {
            "title": WORDS * 4,
            "body": WORDS[::-1] * 4,
            "price": ["1", "2"] * 12,
            "y": ["0", "1", "1"] * 8,
        }
    )
    options = DataSection(target="y", task="binary", text_pair=("title", "body"), max_length=12)
    pipeline = fit_pipeline(frame, options)
    assert pipeline.columns == ["title", "body"]
    assert any("price" in said for said in pipeline.statements)
    pipeline.save(tmp_path)
    before, after = (p.tokenize(frame) for p in (pipeline, TextPipeline.load(tmp_path)))
    np.testing.assert_array_equal(before.ids, after.ids)
    assert before.second is not None
    np.testing.assert_array_equal(before.second, after.second)
    sampled = pipeline.make_loader(frame).sample(0.5, 0)
    assert sampled.table.second is not None


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("title",), "two different columns"),
        (("title", "title"), "two different columns"),
        (("title", "boddy"), "did you mean 'body'"),
        (("title", "y"), "y may not be read"),
    ],
)
def test_no_pair_is_refused(pair, message) -> None:
    frame = pl.DataFrame({"title": WORDS, "body": WORDS, "y": ["0", "1"] * 3})
    with pytest.raises(ValueError, match=message):
        fit_pipeline(frame, DataSection(target="y", task="binary", text_pair=pair))
