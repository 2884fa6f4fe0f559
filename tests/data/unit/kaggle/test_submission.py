"""Submissions: exactly the CSV that is asked for, or every difference named."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from bert_playground.data.kaggle.submission import make_submission, write_parts, write_submission
from bert_playground.logger import logger

IDS = pl.Series("PassengerId", ["007", "8", "x9"])


def write(
    folder: Path,
    predictions: pl.Series | pl.DataFrame,
    sample: str | None = None,
    ids: pl.Series | None = IDS,
) -> str:
    path = folder / "out" / "submission.csv"
    sample_path = None
    if sample is not None:
        sample_path = folder / "sample.csv"
        sample_path.write_text(sample)
    write_submission(
        path, ids, predictions, id_column="PassengerId", target="Survived", sample=sample_path
    )
    assert [entry.name for entry in path.parent.iterdir()] == ["submission.csv"]
    return path.read_text()


def test_ids_and_labels_are_written_as_they_are(tmp_path: Path) -> None:
    assert write(tmp_path, pl.Series([1, 0, 1])) == "PassengerId,Survived\n007,1\n8,0\nx9,1\n"


def test_booleans_are_spelled_as_kaggle_does(tmp_path: Path) -> None:
    assert write(tmp_path, pl.Series([True, False, True])).splitlines()[1:] == [
        "007,True",
        "8,False",
        "x9,True",
    ]


def test_rows_are_numbered_without_an_id(tmp_path: Path) -> None:
    assert (
        write(tmp_path, pl.Series([0.5, 1.5]), ids=None) == "PassengerId,Survived\n0,0.5\n1,1.5\n"
    )


def test_probabilities_have_a_column_per_class(tmp_path: Path) -> None:
    frame = pl.DataFrame({"0": [0.9, 0.5, 0.0], "1": [0.1, 0.5, 1.0]})
    assert write(tmp_path, frame).splitlines()[:2] == [
        "PassengerId,Survived_0,Survived_1",
        "007,0.9,0.1",
    ]


def test_a_fitting_sample_changes_nothing(tmp_path: Path) -> None:
    sample = "PassengerId,Survived\n007,0\n8,0\nx9,0\n"
    assert write(tmp_path, pl.Series([1, 0, 1]), sample).startswith("PassengerId,Survived\n007,1\n")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (
            "PassengerId,Alive\n007,0\n8,0\nx9,0\n",
            "its answer column is 'Alive', ours is 'Survived'",
        ),
        (
            "Id,Survived,Other\n1,0,0\n",
            "its columns are Id, Survived, Other, ours are PassengerId, Survived",
        ),
        (
            "PassengerId,Survived\n007,0\n8,0\n",
            "it has 2 rows, ours has 3; 1 of our ids are not in it, such as 'x9'",
        ),
        ("PassengerId,Survived\n007,0\n8,0\n9,0\n", "1 of its ids are not predicted, such as '9'"),
        ("PassengerId,Survived\n8,0\n007,0\nx9,0\n", "another order: row 1 is '8', ours '007'"),
    ],
)
def test_a_sample_that_disagrees_is_an_error_and_nothing_is_written(
    tmp_path: Path, sample: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path, pl.Series([1, 0, 1]), sample)
    assert not (tmp_path / "out").exists()


def test_ids_and_predictions_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 ids but 2 predictions"):
        write(tmp_path, pl.Series([1, 0]))


def test_columns_that_have_their_names_keep_them(tmp_path: Path) -> None:
    answers = pl.DataFrame({"red": [1, 0], "big": [0, 0]})
    ids = pl.Series("id", ["07", "08"])
    path = tmp_path / "s.csv"
    write_submission(path, ids, answers, id_column="id", target="red,big", is_named=True)
    assert path.read_text() == "id,red,big\n07,1,0\n08,0,0\n"


def test_parts_are_written_as_one_file_or_not_at_all(tmp_path: Path) -> None:
    def parts(fails: bool = False) -> Iterator[pl.DataFrame]:
        for first in (0, 3):
            answers = pl.Series([True, False, True])
            yield make_submission(None, answers, id_column="id", target="y", first_row=first)
        if fails:
            raise ValueError("the third part")

    path = tmp_path / "new" / "parts.csv"
    written = write_parts(path, parts(), target="y")
    assert path.read_text() == "id,y\n0,True\n1,False\n2,True\n3,True\n4,False\n5,True\n"
    assert written.columns == ["id", "y"]
    assert written.answers.to_dict(as_series=False) == {"y": [True, False, True, True, False, True]}
    before = path.read_text()
    with pytest.raises(ValueError, match="the third part"):
        write_parts(path, parts(fails=True), target="y")
    assert path.read_text() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["parts.csv"]
    sample = tmp_path / "sample.csv"
    sample.write_text("id,y\n0,True\n1,True\n9,True\n")
    with pytest.raises(ValueError, match="it has 3 rows, ours has 6"):
        write_parts(path, parts(), target="y", sample=sample)
    assert path.read_text() == before


def test_answers_of_parts_are_held_in_few_bytes(tmp_path: Path) -> None:
    parts = [
        pl.DataFrame({"id": [1, 2], "class": ["no", "yes"], "count": [3, 4], "mean": [0.1, 1e300]}),
        pl.DataFrame({"id": [3], "class": ["maybe"], "count": [2**40], "mean": [0.5]}),
    ]
    path = tmp_path / "parts.csv"
    held = write_parts(path, parts, target="class").answers
    assert (
        path.read_text()
        == "id,class,count,mean\n1,no,3,0.1\n2,yes,4,1e+300\n3,maybe,1099511627776,0.5\n"
    )
    assert held.dtypes == [pl.Categorical, pl.Int64, pl.Float64]
    assert held.rows() == [("no", 3, 0.1), ("yes", 4, 1e300), ("maybe", 2**40, 0.5)]
    small = write_parts(path, parts[:1], target="class").answers
    assert small["count"].dtype == pl.Int8


@pytest.mark.parametrize(("sample", "is_doubted"), [("0.5", True), ("0.0", False), ("1", False)])
def test_classes_where_the_sample_has_fractions_are_doubted(
    tmp_path: Path, sample: str, is_doubted: bool
) -> None:
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING")
    rows = f"007,{sample}\n8,{sample}\nx9,{sample}\n"
    write(tmp_path, pl.Series([0, 1, 0]), sample=f"PassengerId,Survived\n{rows}")
    logger.remove(sink)
    assert ("--proba" in "".join(said)) is is_doubted
