"""Every difference from the sample submission that costs a submission."""

from pathlib import Path

import pytest

from bert_playground.data.kaggle.submission_check import check_submission, find_sample

CLASSES = "id,y\n7,0\n8,1\n9,0\n"
SHARES = "id,y\n7,0.5\n8,0.5\n9,0.5\n"
WORDS = "id,y\n7,<=50K\n8,>50K\n9,<=50K\n"
NUMBERS = "id,y\n7,12.5\n8,3.5\n9,7\n"
COUNTS = "id,y\n7,0\n8,0\n9,0\n"


def check(tmp_path: Path, text: str, sample: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ours, theirs = tmp_path / "ours.csv", tmp_path / "sample.csv"
    ours.write_text(text)
    theirs.write_text(sample)
    found = check_submission(ours, theirs)
    return found.faults, found.doubts


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        ("id,y\n7,1\n8,0\n9,1\n", CLASSES),
        ("id,y\n7,0.1\n8,1\n9,0\n", SHARES),
        ("id,y\n7,>50K\n8,>50K\n9,<=50K\n", WORDS),
        ("id,y\n7,1e3\n8,2\n9,3\n", NUMBERS),
        ("id,y\n7,1.5\n8,2.25\n9,3\n", COUNTS),  # a sample of zeros shows no type
    ],
)
def test_what_fits_passes(tmp_path: Path, text: str, sample: str) -> None:
    assert check(tmp_path, text, sample) == ((), ())


@pytest.mark.parametrize(
    ("text", "sample", "words"),
    [
        ("id,z\n7,1\n8,0\n9,1\n", CLASSES, "lacks the columns y"),
        ("id,y,z\n7,1,1\n8,0,1\n9,1,1\n", CLASSES, "columns z, which"),
        ("y,id\n1,7\n0,8\n1,9\n", CLASSES, "columns stand as y, id"),
        ("id,y\n7,1\n8,0\n", CLASSES, "2 rows, expected 3"),
        ("id,y\n7,1\n8,0\n10,1\n", CLASSES, "not predicted, such as '9'"),
        ("id,y\n8,1\n7,0\n9,1\n", CLASSES, "another order"),
        ("id,y\n7,1\n7,0\n9,1\n", CLASSES, "1 id on several rows"),
        ("id,y\n7,1\n,0\n9,1\n", CLASSES, "without an id"),
        ("id,y\n7,1\n8,\n9,1\n", CLASSES, "missing in 1 row, the first is row 2"),
        ("id,y\n7,1.0\n8,0.0\n9,1.0\n", CLASSES, "written as 1.0"),
        ("id,y\n7,0.7\n8,0.2\n9,0.3\n", CLASSES, "holds 0.7, the sample whole numbers"),
        ("id,y\n7,yes\n8,0\n9,1\n", CLASSES, "holds 'yes', expected numbers"),
        ("id,y\n7,NA\n8,0.1\n9,0.1\n", SHARES, "holds 'NA'"),
        ("id,y\n7,inf\n8,0.1\n9,0.1\n", SHARES, "expected a finite number"),
        ("id,y\n7,nan\n8,0.1\n9,0.1\n", SHARES, "expected a finite number"),
        ("id,y\n7,<=50k\n8,>50K\n9,<=50K\n", WORDS, "spells its classes otherwise"),
        ("id,y\n7,0\n8,1\n9,0\n", WORDS, "expected words such as '<=50K'"),
    ],
)
def test_what_does_not_fit_is_a_fault(tmp_path: Path, text: str, sample: str, words: str) -> None:
    faults, _ = check(tmp_path, text, sample)
    assert any(words in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("text", "sample", "words"),
    [
        ("id,y\n7,1.2\n8,0.2\n9,0.3\n", SHARES, "probabilities from 0 to 1"),
        ("id,y\n7,1\n8,0\n9,1\n", SHARES, "--proba"),
        ("id,y\n7,-1.5\n8,2\n9,3\n", NUMBERS, "is negative"),
        ("id,y\n7,4\n8,4\n9,4\n", NUMBERS, "4 in every row"),
    ],
)
def test_what_is_odd_is_a_doubt(tmp_path: Path, text: str, sample: str, words: str) -> None:
    faults, doubts = check(tmp_path, text, sample)
    assert faults == ()
    assert any(words in doubt for doubt in doubts), doubts


def test_all_faults_are_listed(tmp_path: Path) -> None:
    faults, _ = check(tmp_path, "id,y,z\n7,x,1\n8,0,1\n", CLASSES)
    assert len(faults) == 4


def test_the_sample_is_found_by_its_name(tmp_path: Path) -> None:
    assert find_sample(tmp_path) is None
    for name in ("train.csv", "gender_submission.csv"):
        (tmp_path / name).touch()
    assert find_sample(tmp_path) == tmp_path / "gender_submission.csv"
    (tmp_path / "my_submission.csv").touch()
    assert find_sample(tmp_path) is None
    assert find_sample(tmp_path, "gender_submission.csv") is not None
    (tmp_path / "sampleSubmission.csv").touch()
    assert find_sample(tmp_path) == tmp_path / "sampleSubmission.csv"
