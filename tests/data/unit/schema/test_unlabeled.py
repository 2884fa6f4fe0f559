"""read_unlabeled: all rows, never the target, and a clear word where tables differ."""

from pathlib import Path

import polars as pl
import pytest

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.prepare import prepare
from bert_playground.data.reading import table_stream
from bert_playground.data.schema import sampling
from bert_playground.data.schema.unlabeled import read_unlabeled

TRAIN = "id,age,town,bought\n1,30,Ulm,yes\n2,40,Bonn,no\n3,50,Kiel,yes\n"
TEST = "id,age,town\n4,35,Ulm\n5,45,Bonn\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(TRAIN)
    (tmp_path / "more.csv").write_text(TEST)
    return tmp_path


def read(folder: Path, *more: str, has_target: bool = True, **options: object):
    section = DataSection(train=folder / "train.csv", **options)
    return read_unlabeled(section, [folder / name for name in more], has_target=has_target)


def test_rows_of_all_tables_come_without_the_target(folder: Path) -> None:
    rows = read(folder, "more.csv")
    assert rows.targets == ("bought",)
    assert rows.id_column == "id"
    assert rows.frame.columns == ["id", "age", "town"]
    assert rows.frame["id"].to_list() == ["1", "2", "3", "4", "5"]
    said = " | ".join(rows.notes)
    assert "3 rows" in said
    assert "2 rows" in said
    assert "target: bought, not read (the only column that the test table lacks)" in said


def test_the_order_of_columns_does_not_matter(folder: Path) -> None:
    (folder / "more.csv").write_text("town,id,age\nUlm,4,35\n")
    assert read(folder, "more.csv").frame.row(3) == ("4", "35", "Ulm")


def test_labels_may_be_missing(folder: Path) -> None:
    (folder / "train.csv").write_text(TRAIN + "6,60,Ulm,\n")
    assert read(folder, target="bought").frame.height == 4


def test_a_given_target_is_left_out_of_every_table(folder: Path) -> None:
    (folder / "more.csv").write_text(TRAIN)
    rows = read(folder, "more.csv", target="town")
    assert rows.frame.columns == ["id", "age", "bought"]
    assert rows.frame.height == 6


def test_several_targets_are_left_out(folder: Path) -> None:
    assert read(folder, target="town, bought").frame.columns == ["id", "age"]


def test_without_a_target_every_column_is_kept(folder: Path) -> None:
    rows = read(folder, has_target=False)
    assert rows.targets == ()
    assert rows.frame.columns == ["id", "age", "town", "bought"]


def test_what_the_test_table_lacks_is_left_out_and_said(folder: Path) -> None:
    (folder / "train.csv").write_text(
        "id,age,town,clicks,seconds,target\n1,30,Ulm,3,9,a\n2,40,Bonn,4,8,b\n3,50,Kiel,5,7,a\n"
    )
    rows = read(folder, "more.csv")
    assert rows.frame.columns == ["id", "age", "town"]
    assert any(said.startswith("left out: clicks, seconds") for said in rows.notes)


def test_alone_the_table_is_read_as_train_reads_it_beside_a_test_table(folder: Path) -> None:
    (folder / "test.csv").write_text("id,age\n4,35\n")
    (folder / "train.csv").write_text("id,age,town,target\n1,30,Ulm,a\n2,40,Bonn,b\n")
    assert read(folder).frame.columns == ["id", "age"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,agee,town\n4,35,Ulm\n", ["more.csv lacks 'age'; did you mean 'agee'", "instead"]),
        ("a,b,c\n1,2,3\n", ["'id'", "'age'", "'town'", "different columns"]),
        ("id\n4\n", ["more.csv lacks 'age', 'town'"]),
    ],
)
def test_tables_that_differ_are_refused(folder: Path, content: str, words: list[str]) -> None:
    (folder / "more.csv").write_text(content)
    with pytest.raises(ValueError, match="the tables have different columns") as error:
        read(folder, "more.csv", target="bought")
    for word in words:
        assert word in str(error.value)


def test_every_table_that_differs_is_named(folder: Path) -> None:
    (folder / "second.csv").write_text("id,town,bought\n4,Ulm,no\n")
    (folder / "third.csv").write_text("id,age,bought\n4,35,no\n")
    with pytest.raises(ValueError, match=r"second\.csv lacks 'age'.*third\.csv lacks 'town'"):
        read(folder, "second.csv", "third.csv", target="bought")


def test_of_a_large_table_rows_from_all_over_it_are_read_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(100)]
    (folder / "train.csv").write_text("\n".join(["id,age,bought", *lines]) + "\n")
    monkeypatch.setattr(table_stream, "LARGE_ROWS", 50)
    monkeypatch.setattr(sampling, "MAX_READ_ROWS", 30)
    rows = read(folder)
    numbers = [int(number) for number in rows.frame["id"]]
    assert len(numbers) == 30
    assert numbers == sorted(numbers)
    assert min(numbers) < 20 < 80 < max(numbers)
    assert "train.csv: 30 of 100 rows, drawn from all over the table (seed 0)" in rows.notes[0]
    assert rows.frame.equals(read(folder).frame)
    assert read(folder, streaming=False).frame.height == 100
    monkeypatch.setattr(sampling, "MAX_READ_BYTES", (folder / "train.csv").stat().st_size // 10)
    assert (
        read(folder).frame.height == 9
    )  # of files that are too large, as many rows as their bytes allow
    section = DataSection(train=folder / "train.csv")
    assert not read_unlabeled(section, seed=1).frame.equals(read(folder).frame)


def test_a_small_table_is_read_whole_though_streaming_is_asked_for(folder: Path) -> None:
    assert read(folder, streaming=True).frame.equals(read(folder).frame)
    assert read(folder, streaming=True).notes == read(folder).notes


def test_contradictions_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="--unlabeled says that there is no target"):
        read(folder, has_target=False, target="bought")
    with pytest.raises(ValueError, match="--train"):
        read_unlabeled(DataSection())
    with pytest.raises(ValueError, match="lacks 1 column"):
        read(folder, target="boght")


def test_a_registry_names_the_target_for_pretraining_as_for_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = "shop:\n  columns: [item, bought, size]\n  target: bought\n  template: sentence\n"
    Path("datasets.yaml").write_text(entry)
    rows = {
        "item": ["tea", "rice"] * 20,
        "bought": ["yes", "no"] * 20,
        "size": ["1", "2", "3", "4"] * 10,
    }
    pl.DataFrame(rows).write_csv("shop.csv")
    request = DataSection(train=Path("shop.csv"))
    found = read_unlabeled(request)
    schema = prepare(RunConfig(data=request)).schema
    assert found.targets == schema.targets == ("bought",)
    assert found.template == schema.template == "sentence"
    assert found.frame.columns == ["item", "size"]
    assert "a known data set" in " ".join(found.notes)
