"""RowText: fitted once, saved, and taken over by a model that is trained further."""

from pathlib import Path

import polars as pl
import pytest

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
    with pytest.raises(ValueError, match=r"pipeline\.json cannot be read: it lacks 'features'"):
        load_row_text(saved)
