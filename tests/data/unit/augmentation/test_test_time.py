"""Variants: rows to answer in other ways, the same at every call and for every row, as the model was trained."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.augmentation.augmentation import Augmentation
from bert_playground.data.augmentation.test_time import choose_order, encode_variant
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.tokens.token_table import TokenizedTable
from tests.fitting import fit_pipeline

ROWS = 60
FRAME = pl.DataFrame(
    {
        "id": range(ROWS),
        "town": [("ulm", "bonn", "kiel")[i % 3] for i in range(ROWS)],
        "age": [str(20 + i % 61) if i % 5 else None for i in range(ROWS)],
        "price": [f"{i * 37 % 240}.5" for i in range(ROWS)],
        "note": [f"word{i % 40} of {('joy', 'grief')[i % 2]}" for i in range(ROWS)],
        "bought": [("no", "yes")[i // 2 % 2] for i in range(ROWS)],
    }
)


def fit(template: str) -> TextPipeline:
    options = DataSection(target="bought", id_column="id", template=template)
    return fit_pipeline(FRAME, options, vocab_size=300)


def same(first: TokenizedTable, second: TokenizedTable) -> bool:
    return np.array_equal(first.ids, second.ids) and np.array_equal(first.offsets, second.offsets)


def test_variants_have_the_same_pieces_and_do_not_depend_on_the_row_number() -> None:
    pipeline = fit("cells")
    plain = encode_variant(pipeline, pipeline.augmentation, FRAME, 0)
    assert same(plain, pipeline.tokenize(FRAME))
    variants = [encode_variant(pipeline, pipeline.augmentation, FRAME, i) for i in range(1, 5)]
    for number, table in enumerate(variants, 1):
        assert not same(table, plain)
        assert all(sorted(a) == sorted(b) for a, b in zip(table.rows(), plain.rows(), strict=True))
        tail = encode_variant(pipeline, pipeline.augmentation, FRAME[17:], number)
        assert [r.tolist() for r in tail.rows()] == [r.tolist() for r in table.rows()[17:]]
    assert len({table.ids.tobytes() for table in variants}) == 4


def test_all_orders_come_before_any_comes_again() -> None:
    orders = [choose_order(3, number) for number in range(1, 8)]
    assert len(set(orders[:5])) == 5
    assert (0, 1, 2) not in orders
    assert orders[5:] == orders[:2]


def test_variants_do_as_the_model_was_trained_to() -> None:
    changes = Augmentation(token_masking=0.3, number_jitter=0.1, value_swap=0.1)
    assert changes.as_variant() == Augmentation(token_masking=0.3, column_shuffle=1.0)


def test_numbers_beside_the_text_are_missing_where_the_text_is() -> None:
    options = DataSection(target="bought", id_column="id", numeric_features="auto")
    changes = Augmentation(column_dropout=0.5)
    pipeline = fit_pipeline(FRAME, options, augmentation=changes, vocab_size=300)
    plain = pipeline.tokenize_variant(FRAME, 0)
    assert same(plain, pipeline.tokenize(FRAME))
    gone = []
    for number in range(1, 6):
        numbers = pipeline.tokenize_variant(FRAME, number).numbers
        is_gone = np.isnan(numbers) & ~np.isnan(plain.numbers)
        kept = ~np.isnan(numbers)
        np.testing.assert_array_equal(numbers[kept], plain.numbers[kept])
        gone += is_gone.any(axis=0).tolist()
    assert 0 < np.mean(gone) < 1


def test_where_nothing_can_vary_that_is_said() -> None:
    frame = FRAME.select("id", "note", "bought")
    options = DataSection(target="bought", id_column="id", text_columns=("note",))
    pipeline = fit_pipeline(frame, options)
    with pytest.raises(ValueError, match=r"nothing to vary: a row is a single piece.*--tta"):
        pipeline.tokenize_variant(frame, 1)
    masked = replace(pipeline, augmentation=Augmentation(token_masking=0.2))
    assert not same(masked.tokenize_variant(frame, 1), masked.tokenize(frame))
