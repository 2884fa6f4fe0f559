"""Masking: the right share of words, never a special token, new ones in each epoch, the same for the same seed."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.masked_loader import MaskedLoader
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.tokens.masking import Masking, has_words
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.data.tokens.tokenizer import TextTokenizer, train_tokenizer

CLS, SEP, MASK, PAD, FIRST_WORD, VOCABULARY = 2, 3, 4, 0, 5, 60
MASKING = Masking(MASK, np.arange(FIRST_WORD, VOCABULARY, dtype=np.int32))


def make_table(lengths: list[int]) -> TokenizedTable:
    """Rows [CLS] word … word [SEP]."""
    random, rows = np.random.default_rng(0), []
    for length in lengths:
        words = random.integers(FIRST_WORD, VOCABULARY, length - 2)
        rows.append(np.concatenate([[CLS], words, [SEP]]).astype(np.int32))
    return TokenizedTable(np.concatenate(rows), np.concatenate([[0], np.cumsum(lengths)]))


TABLE = make_table([3, 9, 20, 5, 12, 7, 30, 4, 16, 11, 8])


def make_loader(layout: str, *, seed: int = 0, shuffle: bool = True, **more: int) -> MaskedLoader:
    options = {"batch_size": 4, "prefetch_size": 0, **more}
    loader = MLXLoader(TABLE, shuffle=shuffle, seed=seed, layout=layout, **options)
    return MaskedLoader(loader, MASKING, seed)


def seen_at_asked(batch: Batch) -> np.ndarray:
    assert batch.tokens.masked_positions is not None
    return np.array(batch.tokens.input_ids).ravel()[np.array(batch.tokens.masked_positions)]


@given(seed=st.integers(0, 2**31), share=st.floats(0.01, 0.99), size=st.integers(1, 300))
def test_the_share_is_kept_exactly_and_specials_stay(seed: int, share: float, size: int) -> None:
    random = np.random.default_rng(seed)
    ids = random.integers(0, VOCABULARY, size).astype(np.int32)
    ids[0] = FIRST_WORD
    masking = Masking(MASK, MASKING.words, probability=share)
    hidden = masking.mask(ids, random)
    num_words = int((ids >= FIRST_WORD).sum())
    assert len(hidden.positions) == min(num_words, max(1, round(share * num_words)))
    assert len(np.unique(hidden.positions)) == len(hidden.positions)
    assert (ids[hidden.positions] >= FIRST_WORD).all()
    others = np.setdiff1d(np.arange(size), hidden.positions)
    assert np.array_equal(hidden.ids[others], ids[others])


def test_eight_of_ten_are_masks_one_another_word_and_one_itself() -> None:
    ids = np.random.default_rng(0).integers(FIRST_WORD, VOCABULARY, 100_000).astype(np.int32)
    hidden = MASKING.mask(ids, np.random.default_rng(1))
    seen, words = hidden.ids[hidden.positions], ids[hidden.positions]
    assert len(words) == 30_000
    is_kept = seen == words
    is_random = (seen != MASK) & ~is_kept
    # 30,000 draws: a standard deviation of the shares is 0.002; a random word is the word itself 1 in 55 times.
    assert abs((seen == MASK).mean() - 0.8) < 0.01
    assert abs(is_random.mean() - 0.1 * 54 / 55) < 0.01
    assert abs(is_kept.mean() - 0.1 - 0.1 / 55) < 0.01
    assert set(seen[is_random]) == set(MASKING.words)


def test_few_counts_give_few_shapes_close_to_the_share() -> None:
    counts = set()
    for size in range(200, 3000, 7):
        ids = np.full(size, FIRST_WORD, np.int32)
        count = len(MASKING.mask(ids, np.random.default_rng(0), few_counts=True).positions)
        assert abs(count / size - 0.3) < 0.3 / 14
        counts.add(count)
    assert len(counts) < 40


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_tell_which_words_are_hidden_where(layout: str, shuffle: bool) -> None:
    loader = make_loader(layout, shuffle=shuffle)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert sum(batch.tokens.num_rows for batch in batches) == loader.num_rows == TABLE.num_rows
    for batch in batches:
        assert batch.labels is not None
        # `rows` counts tokens in the table, so the table itself says what must have stood there.
        assert np.array_equal(TABLE.ids[np.array(batch.rows)], np.array(batch.labels))
        seen, words = seen_at_asked(batch), np.array(batch.labels)
        assert ((seen == MASK) | (seen >= FIRST_WORD)).all()
        assert (words >= FIRST_WORD).all()


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_what_is_not_asked_for_is_as_in_the_table(layout: str) -> None:
    masked, plain = make_loader(layout), MLXLoader(TABLE, batch_size=4, shuffle=True, layout=layout)
    for batch, whole in zip(masked, plain.iterate(), strict=True):
        ids, truth = (
            np.array(batch.tokens.input_ids).ravel(),
            np.array(whole.tokens.input_ids).ravel(),
        )
        asked = np.array(batch.tokens.masked_positions)
        assert np.array_equal(truth[asked], np.array(batch.labels))
        others = np.setdiff1d(np.arange(ids.size), asked)
        assert np.array_equal(ids[others], truth[others])


def test_each_epoch_hides_other_words_and_the_same_seed_the_same_ones() -> None:
    def asked(loader: MaskedLoader, epoch: int) -> list[int]:
        return sorted(row for batch in loader.iterate(epoch) for row in batch.rows.tolist())

    assert asked(make_loader("packed"), 0) == asked(make_loader("packed"), 0)
    assert asked(make_loader("packed"), 0) != asked(make_loader("packed"), 1)
    assert asked(make_loader("packed"), 0) != asked(make_loader("packed", seed=1), 0)
    fixed = make_loader("packed", shuffle=False)
    assert asked(fixed, 0) == asked(fixed, 0)


@pytest.mark.parametrize("prefetch_size", [0, 2])
def test_an_epoch_can_be_entered_in_the_middle(prefetch_size: int) -> None:
    whole = list(make_loader("packed", prefetch_size=prefetch_size).iterate(epoch=3))
    rest = list(make_loader("packed", prefetch_size=prefetch_size).iterate(epoch=3, start=2))
    assert len(rest) == len(whole) - 2
    for mine, expected in zip(rest, whole[2:], strict=True):
        assert mx.array_equal(mine.tokens.input_ids, expected.tokens.input_ids)
        assert mx.array_equal(mine.labels, expected.labels)


def test_rows_without_a_word_are_refused() -> None:
    table = TokenizedTable(np.array([CLS, SEP, CLS, 9, SEP], np.int32), np.array([0, 2, 5]))
    assert has_words(table, MASKING).tolist() == [False, True]
    with pytest.raises(ValueError, match="1 of 2 rows have no token to mask"):
        MaskedLoader(MLXLoader(table), MASKING)


def test_the_masking_of_a_tokenizer_spares_its_special_tokens() -> None:
    tokenizer = train_tokenizer(["red apple", "green pear"], 300, ["[colour=red]"])
    masking = Masking.of(tokenizer, probability=0.15)
    names = [tokenizer.tokenizer.id_to_token(word) for word in masking.words.tolist()]
    assert tokenizer.tokenizer.id_to_token(masking.mask_token_id) == "[MASK]"
    assert "[colour=red]" in names
    assert not {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} & set(names)
    assert len(names) == tokenizer.vocab_size - 5


def test_a_tokenizer_without_mask_token_is_refused() -> None:
    bare = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    with pytest.raises(ValueError, match=r"no mask token \(looked for \[MASK\] and <mask>\)"):
        Masking.of(TextTokenizer.wrap(bare))


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 30])
def test_an_impossible_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match=r"the mask probability is .* such as 0\.3"):
        Masking(MASK, MASKING.words, probability=probability)


def test_shares_beyond_all_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"random_share 0\.7 and keep_share 0\.4"):
        Masking(MASK, MASKING.words, random_token_probability=0.7, unchanged_probability=0.4)


NUMBER_TOKENS = ((10, 20), (30, 45))  # of two numbers


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_random_token_never_reads_a_number_of_its_row(layout: str) -> None:
    numbers = np.random.default_rng(1).random((TABLE.num_rows, 2), dtype=np.float32)
    table = TABLE._replace(numbers=numbers)
    inner = MLXLoader(table, batch_size=4, shuffle=True, layout=layout)
    masking = Masking(
        MASK,
        MASKING.words,
        probability=0.5,
        random_token_probability=0.6,
        unchanged_probability=0.2,
    )
    is_hidden = np.zeros(numbers.shape, bool)
    for epoch in range(5):
        for batch in MaskedLoader(inner, masking, 0, NUMBER_TOKENS).iterate(epoch):
            row = np.searchsorted(TABLE.offsets, np.array(batch.rows), side="right") - 1
            seen, label = seen_at_asked(batch), np.array(batch.labels)
            expected = dict(enumerate(numbers.copy()))
            for number, (start, end) in enumerate(NUMBER_TOKENS):
                for each in row[(seen != label) & (seen >= start) & (seen < end)]:
                    expected[each][number] = np.nan
                    is_hidden[each, number] = True
            got = {tuple(line) for line in np.nan_to_num(batch.tokens.numbers, nan=-1).tolist()}
            rows = np.unique(row)
            wanted = {tuple(np.nan_to_num(expected[each], nan=-1).tolist()) for each in rows}
            assert wanted <= got
    assert is_hidden.sum() > 0
    assert np.array_equal(table.numbers, numbers)  # the table itself keeps them
