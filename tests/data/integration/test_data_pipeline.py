"""The whole way from CSV files to batches, and back from scores to labels."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared, prepare
from bert_playground.data.reading.table import read_table
from bert_playground.data.templates.templates import TEMPLATES
from tests.fitting import fit_pipeline

ROWS = 200


def passengers(rows: int = ROWS) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "Id": range(1, rows + 1),
            "Name": [f"Name{i}, {('Mr', 'Mrs')[i % 2]}. First" for i in range(rows)],
            "Sex": [("male", "female")[i % 2] for i in range(rows)],
            "Age": [None if i % 9 == 0 else i % 70 + 0.5 for i in range(rows)],
            "Ticket": [f"A{i // 2}" for i in range(rows)],
            "Survived": [(i * 7 // 5) % 2 for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> DataSection:
    path = tmp_path_factory.mktemp("passengers") / "train.csv"
    passengers().write_csv(path)
    return DataSection(train=path)


@pytest.fixture(scope="module")
def tables(options: DataSection) -> Prepared:
    return prepare(RunConfig(data=options))


@pytest.fixture(scope="module")
def pipeline(tables: Prepared) -> TextPipeline:
    return TextPipeline.fit(tables.train, tables.schema, tables.text)


def test_tables_are_split_and_everything_inferred_is_said(tables: Prepared) -> None:
    assert tables.train.height + tables.val.height == ROWS
    assert 30 <= tables.val.height <= 50
    assert not set(tables.train["Ticket"]) & set(tables.val["Ticket"])
    assert (tables.schema.target, tables.schema.id_column, tables.schema.task) == (
        "Survived",
        "Id",
        "binary",
    )
    said = " | ".join(tables.notes)
    assert "target: Survived, binary, 50 % positive" in said
    assert "id: Id" in said
    assert "rows that share Ticket on one side (seed 0)" in said


def test_splits_follow_the_seed(options: DataSection) -> None:
    first, again, other = (
        prepare(RunConfig(data=options.model_copy(update={"split_seed": seed}))).val["Id"].to_list()
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_batches_carry_every_row_and_its_label(tables: Prepared, pipeline: TextPipeline) -> None:
    loader = pipeline.make_loader(tables.train, batch_size=16, shuffle=True, seed=3)
    labels = np.zeros(tables.train.height)
    for batch in loader:
        labels[np.array(batch.rows)] = np.array(batch.labels)
    assert labels.tolist() == tables.train["Survived"].cast(pl.Int64).to_list()
    assert pipeline.decode(labels).to_list() == labels.tolist()
    assert int(max(pipeline.tokenize(tables.train).ids)) < pipeline.vocab_size


def test_the_pipeline_is_fitted_on_the_given_rows_alone(
    tables: Prepared, pipeline: TextPipeline
) -> None:
    shifted = tables.val.with_columns(Age=pl.lit("999"), Sex=pl.lit("neither"))
    again = TextPipeline.fit(tables.train, tables.schema, tables.text)
    assert again.tokenizer.to_json() == pipeline.tokenizer.to_json()
    assert again.features == pipeline.features
    assert "neither" in pipeline.text(shifted)[0]  # read word by word, unknown as a cell


def test_saved_pipelines_read_text_as_before(
    tables: Prepared, pipeline: TextPipeline, tmp_path: Path
) -> None:
    pipeline.save(tmp_path / "checkpoint")
    loaded = TextPipeline.load(tmp_path / "checkpoint")
    fresh, stored = pipeline.tokenize(tables.val), loaded.tokenize(tables.val)
    np.testing.assert_array_equal(fresh.ids, stored.ids)
    np.testing.assert_array_equal(fresh.labels, stored.labels)
    assert loaded.statements == pipeline.statements
    assert (loaded.vocab_size, loaded.pad_token_id, loaded.classes) == (
        pipeline.vocab_size,
        0,
        (0, 1),
    )
    assert sorted(entry.name for entry in (tmp_path / "checkpoint").iterdir()) == [
        "pipeline.json",
        "tokenizer",
    ]


def test_a_folder_without_a_pipeline_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no pipeline\.json, so it is no checkpoint"):
        TextPipeline.load(tmp_path)


def test_a_damaged_pipeline_is_an_error(pipeline: TextPipeline, tmp_path: Path) -> None:
    pipeline.save(tmp_path)
    (tmp_path / "pipeline.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match="cannot be read"):
        TextPipeline.load(tmp_path)


def test_typed_frames_read_like_their_csv(tables: Prepared, pipeline: TextPipeline) -> None:
    typed = passengers().filter(pl.col("Id").cast(pl.String).is_in(tables.val["Id"].implode()))
    assert pipeline.text(typed).to_list() == pipeline.text(tables.val).to_list()


def test_unlabelled_tables_with_extra_columns_are_read(
    tables: Prepared, pipeline: TextPipeline
) -> None:
    test = tables.val.drop("Survived", "Id").with_columns(Extra=pl.lit("x"))
    table = pipeline.tokenize(test)
    assert table.labels is None
    np.testing.assert_array_equal(table.ids, pipeline.tokenize(tables.val).ids)


def test_missing_columns_are_all_named(tables: Prepared, pipeline: TextPipeline) -> None:
    broken = tables.val.drop("Age").rename({"Sex": "sex"})
    with pytest.raises(
        ValueError, match=r"lacks 2 column\(s\): 'Sex'; did you mean 'sex'\?, 'Age'"
    ):
        pipeline.tokenize(broken)


def test_unseen_labels_in_validation_are_an_error(tables: Prepared, pipeline: TextPipeline) -> None:
    with pytest.raises(ValueError, match=r"no training row has: 2 \(known: 0, 1\)"):
        pipeline.tokenize(tables.val.with_columns(Survived=pl.lit("2")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Survived": pl.lit("1")}, "single class"),
        (
            {"Survived": pl.when(pl.col("Id") == 7).then(None).otherwise(pl.col("Survived"))},
            r"missing in 1 of 200 rows \(rows 7,",
        ),
    ],
)
def test_unfit_labels_are_an_error(
    tmp_path: Path, change: dict[str, pl.Expr], message: str
) -> None:
    passengers().with_columns(**change).write_csv(tmp_path / "train.csv")
    with pytest.raises(ValueError, match=message):
        prepare(RunConfig(data=DataSection(train=tmp_path / "train.csv", target="Survived")))


def test_no_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no training table"):
        prepare(RunConfig(data=DataSection()))


def test_absent_target_and_group_column_are_errors(options: DataSection) -> None:
    with pytest.raises(ValueError, match="'Surived'; did you mean 'Survived'"):
        prepare(RunConfig(data=options.model_copy(update={"target": "Surived"})))
    with pytest.raises(ValueError, match="'Tikket'; did you mean 'Ticket'"):
        prepare(RunConfig(data=options.model_copy(update={"group_column": "Tikket"})))


def test_a_test_table_beside_the_training_table_tells_the_target(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"count": ["1", "5", "9.5"] * 20, "a": ["x", "y", "z"] * 20, "b": range(60)}
    )
    frame.write_csv(tmp_path / "train.csv")
    frame.select("a", "b").write_csv(tmp_path / "test.csv")
    assert (
        prepare(RunConfig(data=DataSection(train=tmp_path / "train.csv"))).schema.target == "count"
    )


def test_a_validation_table_is_used_whole(options: DataSection, tmp_path: Path) -> None:
    passengers(30).write_csv(tmp_path / "val.csv")
    tables = prepare(RunConfig(data=options.model_copy(update={"val": tmp_path / "val.csv"})))
    assert (tables.train.height, tables.val.height) == (ROWS, 30)


def test_all_missing_columns_are_left_out_and_said(tmp_path: Path) -> None:
    passengers().with_columns(Age=pl.lit(None), Sex=pl.lit("male")).write_csv(
        tmp_path / "train.csv"
    )
    tables = prepare(RunConfig(data=DataSection(train=tmp_path / "train.csv")))
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    assert "left out, without any value or with a single one: Sex, Age" in " | ".join(
        pipeline.statements
    )


@pytest.mark.parametrize("template", [name for name in TEMPLATES if not TEMPLATES[name].derive])
@pytest.mark.quick_for("cells", "natural", "text")
def test_every_template_trains_and_reads(tables: Prepared, template: str) -> None:
    options = replace(tables.text, template=template)
    pipeline = TextPipeline.fit(tables.train, tables.schema, options)
    table = pipeline.tokenize(tables.val)
    unknown = pipeline.tokenizer.tokenizer.token_to_id("[UNK]")
    assert table.num_rows == tables.val.height
    assert (table.ids == unknown).mean() < 0.02


def test_token_cache_is_used_and_gives_the_same(
    tables: Prepared, pipeline: TextPipeline, tmp_path: Path
) -> None:
    fresh = pipeline.tokenize(tables.train)
    for _ in range(2):
        cached = pipeline.tokenize(tables.train, cache_dir=tmp_path / "cache")
        np.testing.assert_array_equal(cached.ids, fresh.ids)
        np.testing.assert_array_equal(cached.labels, fresh.labels)
    (path,) = (tmp_path / "cache").iterdir()
    assert path.name.endswith("_scratch_train.safetensors")


cells = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30),
    st.floats().map(repr),
    st.integers(-(10**40), 10**40).map(str),
    st.sampled_from(
        ["🚒 fire", 'say "hi"', "a,b;c\td", "line\nbreak", "NA", "?", "1e999", "[SEP]", "{value}"]
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=6, max_size=25))
@pytest.mark.medium
def test_any_content_becomes_tokens(tmp_path: Path, rows: list[tuple[str | None, ...]]) -> None:
    frame = pl.DataFrame(
        rows, schema={"a": pl.String, "b": pl.String, "c": pl.String}, orient="row"
    )
    frame = frame.with_columns(
        pl.Series("n", range(len(rows))) % 3, y=pl.Series([i % 2 for i in range(len(rows))])
    )
    buffer = io.BytesIO()
    frame.write_csv(buffer)
    (tmp_path / "any.csv").write_bytes(buffer.getvalue())
    read = read_table(tmp_path / "any.csv")
    options = DataSection(target="y", task="binary", template="auto")
    pipeline = fit_pipeline(read, options, vocab_size=300)
    table = pipeline.tokenize(read)
    whole = pipeline.tokenizer.tokenizer.encode_batch(pipeline.text(read).to_list())
    assert table.num_rows == len(rows)
    assert table.ids.tolist() == [number for encoding in whole for number in cut(encoding.ids, 256)]
    assert table.labels is not None
    assert table.labels.tolist() == [i % 2 for i in range(len(rows))]


def cut(ids: list[int], max_length: int) -> list[int]:
    return ids if len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]]


def test_a_dropped_column_may_be_one_that_the_test_table_lacks(tmp_path: Path) -> None:
    rows = [f"{i},{i % 3},{i % 2},{i % 2}" for i in range(40)]
    (tmp_path / "train.csv").write_text("id,size,red,big\n" + "\n".join(rows) + "\n")
    (tmp_path / "test.csv").write_text("id,size\n1,2\n")
    options = DataSection(train=tmp_path / "train.csv", target="red", drop_columns=("big",))
    tables = prepare(RunConfig(data=options))
    assert "big" not in tables.train.columns
    assert TextPipeline.fit(tables.train, tables.schema, tables.text).targets == ("red",)


def test_a_column_that_is_left_out_anyway_may_be_dropped(tmp_path: Path) -> None:
    rows = {"a": ["x", "y"] * 20, "b": range(40), "later": ["1", "2"] * 20, "y": ["no", "yes"] * 20}
    pl.DataFrame(rows).write_csv(tmp_path / "train.csv")
    pl.DataFrame(rows).drop("later", "y").write_csv(tmp_path / "test.csv")
    request = DataSection(train=tmp_path / "train.csv", target="y", drop_columns=("later",))
    tables = prepare(RunConfig(data=request))
    assert tables.schema.dropped == ("later",)
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    assert pipeline.columns == ["a", "b"]
