"""Augmentation: fresh in each epoch, a pure function of seed, epoch and row, and exactly the ids of the changed text."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.augmentation.augmentation import (
    SHARES,
    Augmentation,
    RowChanger,
    check_augmentation,
)
from bert_playground.data.augmentation.counter_rng import row_state
from bert_playground.data.columns.dictionary_encoding import join_cells
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.templates.templates import TEMPLATES
from bert_playground.data.tokens.token_table import TokenizedTable
from tests.fitting import fit_pipeline

ROWS = 240
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
EVERYTHING = dict.fromkeys(SHARES, 0.3)
EACH = [{name: 0.5} for name in SHARES]


@cache
def fit(template: str = "key_value", *, derive: str = "off", **changes: object) -> TextPipeline:
    """On FRAME, once for the same arguments. With `derive` "auto" the table gets parts of its notes."""
    options = DataSection(target="bought", id_column="id", template=template, derive=derive)
    augmentation = Augmentation(**changes)
    return fit_pipeline(FRAME, options, augmentation=augmentation, vocab_size=400)


def epoch_of(pipeline: TextPipeline, epoch: int, seed: int = 0) -> TokenizedTable:
    loader = pipeline.make_loader(FRAME, shuffle=True, seed=seed, augmented=True)
    return loader.table_of(epoch)


def same(first: TokenizedTable, second: TokenizedTable) -> bool:
    return np.array_equal(first.ids, second.ids) and np.array_equal(first.offsets, second.offsets)


@pytest.mark.parametrize("changes", [*EACH, {"templates": ("sentence", "natural")}], ids=str)
@pytest.mark.quick_for("{'column_dropout': 0.5}", "{'templates': ('sentence', 'natural')}")
def test_each_epoch_and_seed_changes_rows_anew_and_again_the_same(changes: dict) -> None:
    pipeline = fit(**changes)
    first = epoch_of(pipeline, 0)
    assert same(first, epoch_of(pipeline, 0))
    assert not same(first, pipeline.tokenize(FRAME))
    assert not same(first, epoch_of(pipeline, 1))
    assert not same(first, epoch_of(pipeline, 0, seed=1))
    np.testing.assert_array_equal(first.labels, pipeline.encode_labels(FRAME))


@pytest.mark.parametrize("template", ["key_value", "cells", "separated", "natural"])
@pytest.mark.quick_for("cells", "natural")
def test_a_row_changes_the_same_way_however_the_table_is_cut(template: str) -> None:
    pipeline = fit(template, derive="auto", **EVERYTHING)
    assert pipeline.derived
    changer = RowChanger.of(pipeline, pipeline.augmentation, 5, pipeline.encode_numbers)
    labels = pipeline.encode_labels(FRAME)
    donors = changer.fit_donors(FRAME, labels, pipeline.task)
    rows = np.arange(ROWS)

    def encode(part: np.ndarray) -> list[list[int]]:
        table = changer.encode(FRAME[part], part, 2, labels=labels[part], donors=donors)
        return [row.tolist() for row in table.rows()]

    whole = encode(rows)
    for cut in (np.array_split(rows, 7), np.array_split(rows[::-1], 3)):
        for part in cut:
            assert encode(part) == [whole[row] for row in part]


# Templates that derive columns want those of their own table; the next test derives one.
@pytest.mark.parametrize("template", [name for name in TEMPLATES if not TEMPLATES[name].derive])
@pytest.mark.medium
def test_ids_are_those_of_the_changed_text_tokenised_whole(template: str) -> None:
    changes = {"column_shuffle": 0.7, "column_dropout": 0.2, "value_swap": 0.2}
    pipeline = fit(template, derive="auto", **changes)
    assert_whole(pipeline, FRAME)


@pytest.mark.parametrize("missing", ["said", "skipped"])
def test_openings_closings_and_derived_columns_stay_where_they_belong(missing: str) -> None:
    options = DataSection(
        target="bought",
        id_column="id",
        template="key_value",
        template_options={
            "opening": "Sale:",
            "closing": ".",
            "missing": missing,
            "derive": {"double": "CAST(price AS DOUBLE) * 2"},
        },
    )
    changes = Augmentation(column_shuffle=1.0, column_dropout=0.3)
    pipeline = fit_pipeline(FRAME, options, augmentation=changes, vocab_size=400)
    for text in assert_whole(pipeline, FRAME):
        assert text.startswith("Sale:")
        assert text.count("Sale:") == 1
        assert missing == "skipped" or text.endswith(".")
        price, _, double = (find(text, name) for name in ("price", "age", "double"))
        assert (price == "missing") == (double == "missing")


def find(text: str, name: str) -> str:
    """The value of a column in a text of key_value."""
    for piece in text.removeprefix("Sale:").removesuffix(".").split(","):
        key, _, value = piece.strip().partition(": ")
        if key == name:
            return value
    return "missing"


def assert_whole(pipeline: TextPipeline, frame: pl.DataFrame) -> list[str]:
    """Compare every changed row with its own text tokenised in one go; the texts."""
    changer = RowChanger.of(pipeline, pipeline.augmentation, 0, pipeline.encode_numbers)
    rows = np.arange(frame.height)
    labels = pipeline.encode_labels(frame)
    donors = changer.fit_donors(frame, labels, pipeline.task)
    table = changer.encode(frame, rows, 0, labels=labels, donors=donors)
    state = row_state(0, 0, rows)
    changed = changer.change_cells(frame, state, labels, donors)
    places = changer.draw_places(state)
    assert places is not None
    pieces = pipeline.cells(changed, places)
    tokenizer = pipeline.tokenizer
    if pipeline.form.separated:
        whole = [
            [*tokenizer.prefix, *separate(tokenizer, [p.rows()[i] for p in pieces], places[:, i])]
            for i in range(frame.height)
        ]
    else:
        texts = join_cells(pieces, places).to_list()
        bare = tokenizer.encode_texts(texts).rows()
        whole = [[*tokenizer.prefix, *row.tolist(), *tokenizer.suffix] for row in bare]
    assert [row.tolist() for row in table.rows()] == whole
    return join_cells(pieces, places).to_list()


def separate(tokenizer, pieces: list[str], places: np.ndarray) -> Iterator[int]:
    for i in np.argsort(places):
        yield from tokenizer.encode_texts([pieces[i]]).ids.tolist()
        yield from tokenizer.suffix


def test_shuffled_rows_have_the_same_pieces_in_an_even_order() -> None:
    pipeline = fit("cells", column_shuffle=1.0)
    plain, shuffled = pipeline.tokenize(FRAME).rows(), epoch_of(pipeline, 0).rows()
    assert all(sorted(a) == sorted(b) for a, b in zip(plain, shuffled, strict=True))
    # Where the first piece of a row went: even over the places.
    places = [list(b).index(a[1]) for a, b in zip(plain, shuffled, strict=True)]
    found = np.bincount(places)[1:]
    assert len(found) >= 4
    assert found[:3].min() > ROWS / len(found) / 2


def test_a_part_of_the_rows_is_shuffled() -> None:
    pipeline = fit("cells", column_shuffle=0.3)
    tables = [epoch_of(pipeline, epoch).rows() for epoch in range(5)]
    plain = pipeline.tokenize(FRAME).rows()
    changed = np.mean(
        [not np.array_equal(a, b) for t in tables for a, b in zip(plain, t, strict=True)]
    )
    # One order of 24 is the plain one.
    expected, count = 0.3 * 23 / 24, 5 * ROWS
    assert abs(changed - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_the_share_of_masked_words_is_the_one_asked_for_and_nothing_else_is_masked() -> None:
    pipeline = fit("separated", token_masking=0.2)
    plain, masked = pipeline.tokenize(FRAME), epoch_of(pipeline, 3)
    mask = pipeline.tokenizer.tokenizer.token_to_id("[MASK]")
    special = [pipeline.tokenizer.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")]
    is_word = ~np.isin(plain.ids, special)
    is_masked = masked.ids == mask
    assert not is_masked[~is_word].any()
    np.testing.assert_array_equal(masked.ids[~is_masked], plain.ids[~is_masked])
    count = is_word.sum()
    assert abs(is_masked[is_word].mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / count)


def test_each_row_is_worded_by_one_of_the_templates() -> None:
    pipeline = fit("key_value", templates=("sentence",))
    rows = epoch_of(pipeline, 0).rows()
    own = pipeline.tokenize(FRAME).rows()
    other = replace(pipeline, form=TEMPLATES["sentence"]).encode(FRAME).rows()
    is_own = np.array([np.array_equal(a, b) for a, b in zip(rows, own, strict=True)])
    is_other = np.array([np.array_equal(a, b) for a, b in zip(rows, other, strict=True)])
    assert (is_own ^ is_other).all()
    assert abs(is_own.mean() - 0.5) < 4 * np.sqrt(0.25 / ROWS)


def test_a_trained_vocabulary_has_the_words_of_all_templates() -> None:
    pipeline = fit("separated", templates=("natural", "sentence"))
    unknown = pipeline.tokenizer.tokenizer.token_to_id("[UNK]")
    assert unknown not in epoch_of(pipeline, 0).ids
    assert "the" in pipeline.tokenizer.tokenizer.get_vocab()
    assert "the" not in fit("separated").tokenizer.tokenizer.get_vocab()


def test_numbers_beside_the_text_are_those_of_the_changed_row() -> None:
    options = DataSection(target="bought", id_column="id", numeric_features="auto")
    changes = Augmentation(column_dropout=0.3)
    pipeline = fit_pipeline(FRAME, options, augmentation=changes, vocab_size=400)
    plain, changed = pipeline.tokenize(FRAME), epoch_of(pipeline, 0)
    assert plain.numbers is not None
    assert changed.numbers is not None
    is_gone = np.isnan(changed.numbers) & ~np.isnan(plain.numbers)
    assert 0.2 < is_gone.mean() < 0.4
    kept = ~np.isnan(changed.numbers)
    np.testing.assert_array_equal(changed.numbers[kept], plain.numbers[kept])


def test_rows_that_are_not_trained_on_stay_as_they_are() -> None:
    pipeline = fit(**EVERYTHING)
    plain = fit().tokenize(FRAME)
    assert same(pipeline.tokenize(FRAME), plain)
    for loader in (pipeline.make_loader(FRAME), pipeline.make_loader(FRAME, shuffle=True)):
        assert same(loader.table_of(3), plain)


def test_what_is_off_changes_nothing() -> None:
    loader = fit().make_loader(FRAME, shuffle=True, augmented=True)
    assert loader.augment is None
    assert same(loader.table_of(5), fit().tokenize(FRAME))


def test_donors_are_the_rows_of_the_loader_alone() -> None:
    pipeline = fit("cells", value_swap=1.0)
    loader = pipeline.make_loader(FRAME, shuffle=True, augmented=True).sample(0.1, 0)
    drawn = loader.table.ids
    assert set(loader.table_of(0).ids.tolist()) <= set(drawn.tolist())
    assert not np.array_equal(loader.table_of(0).ids, loader.table_of(1).ids)


def test_pairs_are_masked_and_nothing_else() -> None:
    options = DataSection(target="bought", id_column="id", text_pair=("town", "note"))
    pipeline = fit_pipeline(FRAME, options, augmentation=Augmentation(token_masking=0.3))
    plain, masked = pipeline.tokenize(FRAME), epoch_of(pipeline, 0)
    assert not same(plain, masked)
    np.testing.assert_array_equal(plain.second, masked.second)
    every = Augmentation(**EVERYTHING, templates=("sentence",))
    with pytest.raises(ValueError, match="pair of texts") as error:
        fit_pipeline(FRAME, options, augmentation=every)
    for name in ("column_shuffle", "column_dropout", "number_jitter", "value_swap", "templates"):
        assert f"{name} cannot apply" in str(error.value)
    assert "token_masking" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({"template": "cells"}, {"templates": ("sentence",)}, "one token, which has no synonym"),
        ({}, {"templates": ("sentense",)}, "did you mean 'sentence'"),
        ({"template": "key_value"}, {"templates": ("cells",)}, "one token, which has no synonym"),
        (
            {"template_options": {"jinja": "{{ town }}"}},
            {"column_shuffle": 1.0, "column_dropout": 0.1},
            "column_shuffle cannot apply: a Jinja template .*column_dropout cannot apply",
        ),
        ({"drop_columns": ("age", "price", "note")}, {"column_shuffle": 0.5}, "a single piece"),
        ({"drop_columns": ("age", "price", "note")}, {"column_dropout": 0.5}, "a single column"),
        ({"drop_columns": ("age", "price")}, {"number_jitter": 0.5}, "no column holds numbers"),
    ],
)
def test_what_cannot_apply_is_refused_with_its_reason(
    options: dict, changes: dict, words: str
) -> None:
    section = DataSection(
        **{"target": "bought", "id_column": "id", "template": "key_value"} | options
    )
    with pytest.raises(ValueError, match=words):
        fit_pipeline(FRAME, section, augmentation=Augmentation(**changes))


def test_a_tokenizer_without_mask_token_cannot_mask() -> None:
    pipeline = fit()
    stripped = pipeline.tokenizer.to_json().replace("[MASK]", "[HIDDEN]")
    tokenizer = type(pipeline.tokenizer).wrap(type(pipeline.tokenizer.tokenizer).from_str(stripped))
    with pytest.raises(ValueError, match="no mask token"):
        check_augmentation(Augmentation(token_masking=0.1), replace(pipeline, tokenizer=tokenizer))


def test_shares_out_of_range_are_all_named() -> None:
    with pytest.raises(
        ValueError, match=r"column_dropout is 1.0 \(expected 0 to 0.9\).*value_swap"
    ):
        Augmentation(column_dropout=1.0, value_swap=-0.1)


def test_a_saved_pipeline_knows_how_it_was_trained(tmp_path: Path) -> None:
    pipeline = fit(column_shuffle=1.0, templates=("sentence",))
    pipeline.save(tmp_path)
    assert TextPipeline.load(tmp_path).augmentation == pipeline.augmentation
    assert any("augmentation: column_shuffle 1" in said for said in pipeline.statements)


def test_folders_of_before_have_no_augmentation(tmp_path: Path) -> None:
    fit().save(tmp_path)
    path = tmp_path / "pipeline.json"
    path.write_text(path.read_text().replace('"augmentation"', '"formerly"'))
    assert not TextPipeline.load(tmp_path).augmentation.is_on
