"""The ledger, the rule of --auto-submit, and what scores and leaderboard say together."""

import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from bert_playground.data.kaggle.records import Submission
from bert_playground.training.kaggle.decide_submission import decide_submission
from bert_playground.training.kaggle.draw_ledger import draw_ledger
from bert_playground.training.kaggle.ledger import Entry, LedgerRow, open_ledger
from bert_playground.training.kaggle.run_score import RunScore
from bert_playground.training.kaggle.trust import measure_trust

ENTRY = Entry(
    "titanic", "a.csv", "d" * 64, "first", "run_1", None, "abc", "accuracy", True, 0.8, 0.01
)
SCORE = RunScore("run_2", "accuracy", 0.82, 0.01, True, True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def add(
    path: Path, *scores: tuple[float, float | None], metric: str = "accuracy"
) -> list[LedgerRow]:
    """Submissions with these scores, out of fold and public."""
    with open_ledger(path) as ledger:
        for number, (score, public) in enumerate(scores):
            entry = replace(ENTRY, digest=str(number), score=score, metric=metric)
            ledger.finish(ledger.begin(entry), 100 + number)
            found = Submission(
                100 + number, "a.csv", None, "complete", "", None, public, None, None
            )
            ledger.take_scores("titanic", [found])
        return ledger.rows()


def test_what_is_written_is_read(path: Path) -> None:
    with open_ledger(path) as ledger:
        number = ledger.begin(ENTRY)
        ledger.finish(number, 17)
    with open_ledger(path) as ledger:
        (row,) = ledger.rows("titanic")
        assert ledger.rows("other") == []
    assert (row.run, row.score, row.error, row.higher_is_better) == ("run_1", 0.8, 0.01, True)
    assert (row.state, row.ref, row.repeat) == ("sent", 17, 0)


def test_the_same_content_begins_once(path: Path) -> None:
    with open_ledger(path) as ledger:
        first = ledger.begin(ENTRY)
        with pytest.raises(ValueError, match="no answer"):
            ledger.begin(ENTRY)
        ledger.fail(first, "refused")
        ledger.finish(ledger.begin(ENTRY), 1)
        with pytest.raises(ValueError, match="--again"):
            ledger.begin(ENTRY)
        ledger.finish(ledger.begin(ENTRY, again=True), 2)
        assert [row.repeat for row in ledger.rows()] == [0, 0, 1]
        ledger.begin(replace(ENTRY, competition="other"))


RACE = """
import sys
from pathlib import Path
from bert_playground.training.kaggle.ledger import Entry, open_ledger
won = 0
for number in range(10):
    with open_ledger(Path(sys.argv[1])) as ledger:
        try:
            ledger.finish(ledger.begin(Entry("titanic", "a.csv", str(number), "m")), number)
            won += 1
        except ValueError as error:
            assert "sent" in str(error), error
print(won)
"""


@pytest.mark.slow
def test_two_processes_write_each_content_once(path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", RACE, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    won = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(won) == 10
    with open_ledger(path) as ledger:
        assert sorted(int(row.digest) for row in ledger.rows()) == list(range(10))


@pytest.mark.parametrize("damage", ["head", "middle", "text"])
def test_a_damaged_file_is_said(path: Path, damage: str) -> None:
    add(path, *((0.1 * number, None) for number in range(25)))
    content = bytearray(path.read_bytes())
    if damage == "head":
        content[:100] = bytes(range(100))
    elif damage == "middle":
        content[4096:] = bytes(len(content) - 4096)
    else:
        content = bytearray(b"these are notes\n" * 500)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ledger\.sqlite is damaged"), open_ledger(path) as ledger:
        ledger.rows()


def test_other_programs_and_later_versions_are_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(ValueError, match="another program's"), open_ledger(path):
        pass
    path.unlink()
    add(path, (0.5, None))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match="later version"), open_ledger(path):
        pass


def test_a_sending_without_an_answer_is_found_by_name_and_message(path: Path) -> None:
    other = Submission(1, "b.csv", None, "complete", "first", None, 0.7, None, None)
    same = Submission(2, "a.csv", None, "complete", "first", None, 0.7, 0.6, None)
    with open_ledger(path) as ledger:
        ledger.begin(ENTRY)
        assert ledger.take_scores("titanic", [other]) == 0
        assert ledger.take_scores("titanic", [other, same]) == 1
        assert ledger.take_scores("titanic", [other, same]) == 0
        (row,) = ledger.rows()
    assert (row.state, row.ref, row.public_score, row.private_score) == ("sent", 2, 0.7, 0.6)


def test_a_sending_of_long_ago_without_a_trace_did_not_arrive(path: Path) -> None:
    with open_ledger(path) as ledger:
        ledger.begin(ENTRY)
        ledger.give_up_lost("titanic")
        assert ledger.rows()[0].state == "sending"
        ledger._connection.execute("UPDATE submission SET began = '2020-01-01 00:00:00'")
        ledger.give_up_lost("titanic")
        assert ledger.rows()[0].state == "failed"
        ledger.begin(ENTRY)


def test_clocks_need_not_agree(path: Path) -> None:
    with open_ledger(path) as ledger:
        ledger.begin(ENTRY)
        at = datetime.now(UTC) - timedelta(hours=3)
        same = Submission(
            2, "a.csv", f"{at:%Y-%m-%d %H:%M}", "complete", "first", None, 0.7, None, None
        )
        assert ledger.take_scores("titanic", [replace(same, date="2020-01-01 00:00")]) == 0
        assert ledger.take_scores("titanic", [same]) == 1


# The rule of --auto-submit.


@pytest.mark.parametrize(
    ("change", "scores", "left", "is_worth_it", "words"),
    [
        ({}, [(0.80, None)], 3, True, "more than its standard error"),
        ({}, [(0.811, None)], 3, False, "not more than its standard error"),
        ({}, [(0.9, None), (0.7, None)], 3, False, "worse than the best sent, 0.9"),
        ({}, [], 3, True, "first in the ledger"),
        ({}, [], None, True, "first in the ledger"),
        ({}, [(0.80, None)], 0, False, "left today"),
        ({"score": None}, [], 3, False, "no score"),
        ({"error": None}, [], 3, False, "standard error"),
        ({"is_out_of_fold": False}, [], 3, False, "no out-of-fold score"),
        ({"metric": "f1"}, [(0.80, None)], 3, False, "cannot be compared"),
        ({"folds": "other"}, [(0.80, None)], 3, False, "other folds"),
        ({"higher_is_better": False}, [(0.80, None)], 3, False, "worse"),
        ({"higher_is_better": False, "score": 0.7}, [(0.80, None)], 3, True, "better"),
    ],
)
def test_only_a_clear_gain_is_sent(
    path: Path, change: dict[str, object], scores: list[tuple[float, None]],
    left: int | None, is_worth_it: bool, words: str,
) -> None:  # fmt: skip
    decision = decide_submission(replace(SCORE, **change), add(path, *scores), left)  # type: ignore[arg-type]
    assert decision.is_worth_it is is_worth_it
    assert words in decision.reason


def test_a_failed_sending_is_no_rival(path: Path) -> None:
    with open_ledger(path) as ledger:
        ledger.fail(ledger.begin(replace(ENTRY, score=0.99)), "refused")
        assert decide_submission(SCORE, ledger.rows(), 1).is_worth_it


# Scores and leaderboard.


def test_a_leaderboard_that_follows(path: Path) -> None:
    pairs = [(0.80 + 0.01 * n, 0.78 + 0.01 * n + 0.001 * (-1) ** n) for n in range(6)]
    trust = measure_trust(add(path, *pairs))
    assert trust.rank_correlation == pytest.approx(1)
    assert trust.p_value == pytest.approx(2 / 720)
    assert trust.offset == pytest.approx(-0.02)
    assert "follows the out-of-fold accuracy" in trust.sentence
    assert "0.02 below" in trust.sentence
    assert "more than 0.01," in trust.sentence  # the score's own error is the larger one


def test_a_leaderboard_that_does_not_follow(path: Path) -> None:
    trust = measure_trust(add(path, (0.8, 0.9), (0.82, 0.7), (0.84, 0.6), (0.86, 0.65)))
    assert trust.rank_correlation == pytest.approx(-0.8)
    assert "does not follow" in trust.sentence


def test_few_submissions_are_no_proof(path: Path) -> None:
    assert "1 more before the two" in measure_trust(add(path, (0.8, 0.7), (0.9, 0.8))).sentence
    path.unlink()
    trust = measure_trust(add(path, (0.8, 0.7), (0.9, 0.8), (0.95, 0.9)))
    assert trust.p_value == pytest.approx(1 / 3)
    assert "too few" in trust.sentence


def test_without_spread_there_is_no_correlation(path: Path) -> None:
    trust = measure_trust(add(path, (0.8, 0.7), (0.8, 0.8), (0.8, 0.9)))
    assert trust.rank_correlation is None
    assert "nothing can be said" in trust.sentence


def test_the_same_content_counts_once(path: Path) -> None:
    rows = add(path, (0.8, 0.7), (0.9, 0.8), (0.95, 0.9))
    assert len(measure_trust([*rows, replace(rows[0], number=9)]).pairs) == 3


@pytest.mark.parametrize("pairs", [[(0.8, 0.7), (0.9, 0.75)], [(0.5, 0.5)], [(-3.0, 12_000.0)]])
def test_the_picture_is_drawn(tmp_path: Path, pairs: list[tuple[float, float]]) -> None:
    draw_ledger(pairs, tmp_path / "ledger.png", title="titanic", metric="accuracy")
    with Image.open(tmp_path / "ledger.png") as picture:
        assert picture.size == (840, 644)


def test_a_message_names_run_score_and_commit() -> None:
    score = RunScore(
        "run_1", "accuracy", 0.8316, 0.0125, True, True, None, "abcdef0123456789+changes"
    )
    assert score.describe() == "run_1, accuracy 0.8316 ± 0.013 out of fold, commit abcdef012+"
    assert RunScore("run_1").describe() == "run_1"
