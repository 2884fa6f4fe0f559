"""RowText: fitted once, saved, and taken over by a model that is trained further."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.data.templates.fit_numbers import fit_numbers
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_text import RowText, fit_row_text, load_row_text

FRAME = pl.DataFrame(
    {
        "town": ["ulm", "bonn", "kiel", "ulm"] * 10,
        "age": ["30", "40", "50", "61.5"] * 10,
        "bought": ["yes", "no"] * 20,
    }
)


def fit(frame: pl.DataFrame = FRAME, folder: Path | None = None, **options: object) -> RowText:
    section = TextOptions(**options)
    return fit_row_text(frame, section, skip=("bought",), id_column=None, pretrained_dir=folder)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    fit(max_length=20).save(tmp_path)
    return tmp_path


def test_a_saved_one_reads_rows_the_same(saved: Path) -> None:
    first, second = fit(max_length=20), load_row_text(saved)
    assert second.text(FRAME).to_list() == first.text(FRAME).to_list()
    assert (second.encode(FRAME).ids == first.encode(FRAME).ids).all()
    assert second.columns == ["town", "age"]


def test_bins_and_vocabulary_are_taken_over_and_not_fitted_again(saved: Path) -> None:
    other = FRAME.with_columns(age=pl.Series(["1", "2", "3", "4"] * 10), town=pl.lit("jena"))
    taken = fit(other, saved)
    assert taken.features == load_row_text(saved).features
    assert "[town=ulm]" in taken.tokenizer.to_json()
    assert "[town=jena]" not in taken.tokenizer.to_json()
    assert "as the model in" in taken.statements[0]


def test_rows_are_at_most_as_long_as_they_were(saved: Path) -> None:
    assert fit(folder=saved, max_length=500).max_length == 20
    assert fit(folder=saved, max_length=10).max_length == 10


def test_further_columns_are_not_read_and_that_is_said(saved: Path) -> None:
    taken = fit(FRAME.with_columns(shop=pl.lit("north")), saved)
    assert taken.columns == ["town", "age"]
    assert "not read, as when it was trained: shop" in taken.statements


def test_columns_may_be_dropped(saved: Path) -> None:
    assert fit(folder=saved, drop_columns=("age",)).columns == ["town"]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (FRAME.drop("age"), {}, "the table lacks age, which the model in .* reads as one token"),
        (FRAME, {"template": "sentence"}, "trained on text of template 'cells', but 'sentence'"),
        (FRAME, {"text_columns": ("town",)}, "it cannot read town word by word"),
        (FRAME, {"drop_columns": ("town", "age")}, "a row without any of them"),
    ],
)
def test_what_the_model_cannot_read_is_refused(
    saved: Path, frame: pl.DataFrame, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(frame, saved, **options)


def test_text_that_holds_the_target_is_refused(tmp_path: Path) -> None:
    fit_row_text(FRAME, TextOptions(), skip=(), id_column=None).save(tmp_path)
    with pytest.raises(ValueError, match="pretrained on text that contains bought"):
        fit(folder=tmp_path)


def test_plain_text_of_another_table_keeps_the_tokenizer(tmp_path: Path) -> None:
    fit(template="key_value").save(tmp_path)
    other = pl.DataFrame({"city": ["ulm", "bonn"] * 10, "bought": ["yes", "no"] * 10})
    taken = fit(other, tmp_path)
    assert taken.columns == ["city"]
    assert taken.tokenizer.to_json() == load_row_text(tmp_path).tokenizer.to_json()


def test_a_damaged_file_is_named(saved: Path) -> None:
    (saved / "pipeline.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match=r"pipeline\.json cannot be read: .*features is missing"):
        load_row_text(saved)


def test_numbers_are_saved_with_the_text_and_taken_over(tmp_path: Path) -> None:
    known = {"skip": ("bought",), "id_column": None}
    text = fit_numbers(fit(), FRAME, TextOptions(), **known)
    text.save(tmp_path)
    loaded = load_row_text(tmp_path)
    assert [number.column for number in loaded.numbers] == ["age"]
    assert (loaded.numbers, loaded.number_tokens) == (text.numbers, text.number_tokens)
    # Four values on ten rows each, a tie stands in the middle of its ranks.
    expected = [[0.0], [1 / 3], [2 / 3], [1.0]]
    np.testing.assert_allclose(loaded.encode_numbers(FRAME[:4]), expected, rtol=1e-6)
    (start, end) = loaded.number_tokens[0]
    assert all(word.startswith("[age=") for word in loaded.tokenizer.spell(range(start, end)))
    other = FRAME.with_columns(age=pl.Series(["1", "2", "3", "4"] * 10))
    taken = fit_numbers(
        fit(other, tmp_path), other, TextOptions(), pretrained_dir=tmp_path, **known
    )
    assert taken.numbers == text.numbers


def test_a_number_that_is_left_out_of_the_text_adds_nothing(tmp_path: Path) -> None:
    known = {"skip": ("bought",), "id_column": None}
    fit_numbers(fit(), FRAME, TextOptions(), **known).save(tmp_path)
    options = TextOptions(drop_columns=("age",))
    text = fit(folder=tmp_path, drop_columns=("age",))
    taken = fit_numbers(text, FRAME, options, pretrained_dir=tmp_path, **known)
    assert taken.columns == ["town"]
    assert np.isnan(taken.encode_numbers(FRAME.drop("age"))).all()


def test_no_numbers_stand_beside_a_text_without_a_task() -> None:
    options = TextOptions(template="sentence", numeric_features="auto")
    text = fit(template="sentence")
    known = {"skip": ("bought",), "id_column": None}
    assert fit_numbers(text, FRAME, options, beside=False, **known).numbers == ()
    assert len(fit_numbers(text, FRAME, options, **known).numbers) == 1
