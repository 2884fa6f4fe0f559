"""The real client against a server that refuses: one message, exit code 2, nothing half-written, nothing sent twice."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bert_playground.cli.app import app
from tests.kaggle.conftest import SAMPLE
from tests.kaggle.fake_server import KEY, TOKEN, USER, FakeKaggle, Fault


def run(*words: object) -> Result:
    result = CliRunner().invoke(app, ["kaggle", *map(str, words)], env={"COLUMNS": "200"})
    assert KEY not in result.output
    assert TOKEN not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*words: object) -> str:
    """What is said of a command that ends with 2: one message."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("error:") == 1
    return result.stderr


def read_json(*words: object) -> object:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# Signing in.


def test_without_credentials_all_places_are_named(kaggle: FakeKaggle, home: Path) -> None:
    said = refused("whoami")
    for place in ("KAGGLE_API_TOKEN", ".kaggle/access_token", "KAGGLE_KEY", "kaggle.json"):
        assert place in said
    assert kaggle.calls == []
    assert list(home.iterdir()) == []  # the package would make a folder


def test_key_in_the_environment(signed_in: FakeKaggle) -> None:
    found = read_json("whoami")
    assert found == {
        "username": USER,
        "kind": "API key",
        "source": "KAGGLE_USERNAME and KAGGLE_KEY",
    }


def test_key_in_kaggle_json(kaggle: FakeKaggle, home: Path) -> None:
    (home / ".kaggle").mkdir()
    file = home / ".kaggle/kaggle.json"
    file.write_text(json.dumps({"username": USER, "key": KEY}))
    file.chmod(0o644)
    result = run("whoami")
    assert result.stdout == f"{USER}, by the API key of {file}\n"
    assert f"chmod 600 {file}" in result.stderr


def test_access_token_in_the_environment(
    kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert read_json("whoami") == {
        "username": USER, "kind": "access token", "source": "KAGGLE_API_TOKEN",
    }  # fmt: skip
    assert read_json("files", "titanic")


def test_access_token_in_a_file_comes_before_a_key(signed_in: FakeKaggle, home: Path) -> None:
    (home / ".kaggle").mkdir()
    (home / ".kaggle/access_token").write_text(f"{TOKEN}\n")
    assert f"access token of {home}/.kaggle/access_token" in run("whoami").stdout


def test_a_token_that_is_a_folders_name_is_a_token(
    kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(TOKEN).mkdir()
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert run("whoami").exit_code == 0


@pytest.mark.parametrize("words", [("whoami",), ("files", "titanic")])
def test_expired_token_is_no_reason_for_another_key(
    words: tuple[str, ...], signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    signed_in.tokens.clear()
    said = refused(*words)
    assert "access token of KAGGLE_API_TOKEN" in said
    assert "expired" in said
    assert "https://www.kaggle.com/settings/api" in said


def test_a_wrong_key_names_its_source(kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", USER)
    monkeypatch.setenv("KAGGLE_KEY", "not-the-key-of-ada")
    said = refused("competitions")
    assert "refuses the API key of KAGGLE_USERNAME and KAGGLE_KEY" in said
    assert "not-the-key" not in said


def test_a_secret_that_the_server_repeats_is_hidden(signed_in: FakeKaggle) -> None:
    signed_in.faults["ListCompetitions"] = Fault(400, f"bad key {KEY}")
    assert "bad key ***" in refused("competitions")


@pytest.mark.parametrize("level", ["1", "true"])
def test_a_talkative_package_does_not_print_requests(
    level: str, signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERBOSE", level)
    assert len(read_json("files", "titanic")) == 3  # type: ignore[arg-type]


# Questions.


def test_all_pages_of_files_are_read(signed_in: FakeKaggle) -> None:
    found = read_json("files", "titanic")
    assert [each["name"] for each in found] == list(signed_in.files)  # type: ignore[attr-defined]
    assert signed_in.methods().count("ListDataFiles") == 2


def test_the_leaderboard_is_one_document(signed_in: FakeKaggle) -> None:
    rows = read_json("leaderboard", "titanic")
    assert [(row["rank"], row["score"]) for row in rows] == [(1, 0.9), (2, 0.8), (3, None)]  # type: ignore[attr-defined]


def test_limits_info_and_competitions(signed_in: FakeKaggle) -> None:
    assert "10 of today's submissions left" in run("limits", "titanic").stdout
    known = read_json("info", "titanic")
    assert known["kaggle"]["daily_submissions"] == 10  # type: ignore[index]
    assert known["registry"]["target"] == "Survived"  # type: ignore[index]
    assert "spaceship-titanic" in run("competitions", "--search", "titanic").stdout


def test_an_address_is_a_name(signed_in: FakeKaggle) -> None:
    assert run("limits", "https://www.kaggle.com/competitions/titanic/overview").exit_code == 0


def test_an_address_names_the_folder_too(signed_in: FakeKaggle) -> None:
    assert run("download", "https://www.kaggle.com/c/titanic").exit_code == 0
    assert Path("data/titanic/train.csv").is_file()


@pytest.mark.parametrize("name", ["../titanic", "a b", "titanic/train.csv"])
def test_what_is_no_name_is_not_asked_for(signed_in: FakeKaggle, name: str) -> None:
    assert "no name of a competition" in refused("files", name)
    assert signed_in.calls == []


def test_rules_that_are_not_accepted(signed_in: FakeKaggle) -> None:
    signed_in.faults["DownloadDataFiles"] = Fault(403, "You must accept this competition's rules.")
    said = refused("download", "titanic")
    assert "https://www.kaggle.com/competitions/titanic/rules" in said
    assert "You must accept" in said
    assert not Path("data/titanic").exists()


def test_an_unknown_competition_gets_the_nearest(signed_in: FakeKaggle) -> None:
    assert "did you mean titanic" in refused("files", "titanik")


def test_a_known_data_set_that_is_no_competition(signed_in: FakeKaggle) -> None:
    assert "no competition on Kaggle" in refused("files", "adult")
    assert signed_in.calls == []


def test_no_name_and_no_project(signed_in: FakeKaggle) -> None:
    assert "bert kaggle start NAME" in refused("files")


def test_a_short_wait_is_waited(signed_in: FakeKaggle, waits: list[float]) -> None:
    signed_in.faults["GetSubmissionLimits"] = Fault(429, "Slow", {"Retry-After": "7"}, times=2)
    result = run("limits", "titanic")
    assert result.exit_code == 0
    assert [wait for wait in waits if wait >= 1] == [7.0, 7.0]
    assert "asks to wait 7 seconds" in result.stderr


@pytest.mark.parametrize(
    ("after", "time"), [("3600", "3600 seconds"), ("Wed, 01 Jan 2020 00:00:00 GMT", "0 seconds")]
)
def test_a_long_wait_is_said(signed_in: FakeKaggle, after: str, time: str) -> None:
    signed_in.faults["GetSubmissionLimits"] = Fault(429, "Slow", {"Retry-After": after})
    assert f"wait {time}" in refused("limits", "titanic")


def test_no_answer(signed_in: FakeKaggle) -> None:
    signed_in.faults["GetSubmissionLimits"] = Fault()
    assert "cannot be reached" in refused("limits", "titanic")


def test_a_fault_of_kaggle(signed_in: FakeKaggle) -> None:
    signed_in.faults["GetSubmissionLimits"] = Fault(503, "Down")
    assert "try again later" in refused("limits", "titanic")


def test_an_address_that_would_get_secrets_unencrypted(
    signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_ENDPOINT", "http://example.com")
    assert "unencrypted" in refused("whoami")


# Sending.


@pytest.fixture
def answers() -> Path:
    """A submission, and the sample in data/."""
    Path("data").mkdir()
    Path("data/gender_submission.csv").write_text(SAMPLE)
    path = Path("submission.csv")
    path.write_text(SAMPLE.replace(",0", ",x").replace(",1", ",0").replace(",x", ",1"))
    return path


def submit(path: Path, *words: object) -> tuple[object, ...]:
    return ("submit", path, "--competition", "titanic", *words)


def test_a_file_is_sent_once(signed_in: FakeKaggle, answers: Path) -> None:
    result = run(*submit(answers, "--message", "first"))
    assert result.exit_code == 0, result.output
    assert result.stdout == "sent to titanic as number 100\n"
    assert "10 of today's submissions left" in result.stderr
    assert list(signed_in.uploads.values()) == [answers.read_bytes()]
    assert signed_in.submissions[0]["description"] == "first"
    copy = answers.with_name("copy.csv")
    copy.write_bytes(answers.read_bytes())
    assert "sent already" in refused(*submit(copy))
    assert len(signed_in.submissions) == 1
    assert run(*submit(copy, "--again")).exit_code == 0
    assert len(signed_in.submissions) == 2


def test_a_dry_run_sends_nothing(signed_in: FakeKaggle, answers: Path) -> None:
    found = read_json(*submit(answers, "--dry-run"))
    assert (found["sent"], found["left_today"]) == (False, 10)  # type: ignore[index]
    assert "StartSubmissionUpload" not in signed_in.methods()


def test_a_file_that_does_not_fit_is_not_sent(signed_in: FakeKaggle, answers: Path) -> None:
    answers.write_text(answers.read_text().replace("62,1", "62,1.0"))
    assert "1.0" in refused(*submit(answers))
    assert signed_in.calls == []
    assert not Path("ledger.sqlite").exists()


def test_no_submissions_left(signed_in: FakeKaggle, answers: Path) -> None:
    signed_in.left_today = 0
    assert "midnight UTC" in refused(*submit(answers))
    assert "StartSubmissionUpload" not in signed_in.methods()


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(503), Fault(400), Fault(cut_after=20)], ids=["500", "503", "400", "half"]
)  # fmt: skip
def test_a_failed_upload_is_no_submission(
    signed_in: FakeKaggle, answers: Path, fault: Fault
) -> None:
    signed_in.faults["PUT"] = fault
    assert "nothing was submitted" in refused(*submit(answers))
    assert signed_in.submissions == []
    del signed_in.faults["PUT"]
    assert run(*submit(answers)).exit_code == 0
    assert len(signed_in.submissions) == 1


@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_refused_submission_may_be_sent_later(
    signed_in: FakeKaggle, answers: Path, status: int
) -> None:
    signed_in.faults["CreateSubmission"] = Fault(status, "Not now", times=1)
    assert "Not now" in refused(*submit(answers))
    assert signed_in.methods().count("CreateSubmission") == 1
    assert run(*submit(answers)).exit_code == 0


def test_a_lost_answer_is_not_sent_again(signed_in: FakeKaggle, answers: Path) -> None:
    signed_in.faults["CreateSubmission"] = Fault(times=1)
    assert "is not known" in refused(*submit(answers, "--message", "lost"))
    assert signed_in.methods().count("CreateSubmission") == 1
    assert "has no answer" in refused(*submit(answers, "--message", "lost"))
    assert signed_in.methods().count("CreateSubmission") == 1


def test_a_lost_answer_is_found_on_kaggle(signed_in: FakeKaggle, answers: Path) -> None:
    run(*submit(answers, "--message", "lost"))
    from bert_playground.training.kaggle.ledger import open_ledger

    with open_ledger(Path("ledger.sqlite")) as ledger:  # as a process that was killed leaves it
        ledger._connection.execute("UPDATE submission SET state = 'sending', ref = NULL")
    said = refused(*submit(answers, "--message", "lost"))
    assert "sent already" in said
    assert len(signed_in.submissions) == 1


def test_scores_reach_the_ledger(signed_in: FakeKaggle, answers: Path) -> None:
    run(*submit(answers))
    signed_in.submissions[0] |= {"publicScore": "0.775", "status": "COMPLETE"}
    result = run("submissions", "titanic")
    assert "ledger.sqlite: 1 row changed" in result.stderr
    table = read_json("ledger", "titanic")
    assert table["rows"][0]["public_score"] == 0.775  # type: ignore[index]


def test_a_damaged_ledger_is_said_before_anything_is_sent(
    signed_in: FakeKaggle, answers: Path
) -> None:
    Path("ledger.sqlite").write_bytes(b"no database" * 200)
    assert "ledger.sqlite is damaged" in refused(*submit(answers))
    assert "StartSubmissionUpload" not in signed_in.methods()


def test_auto_submit_without_a_score_sends_nothing(signed_in: FakeKaggle, answers: Path) -> None:
    result = run(*submit(answers, "--auto-submit"))
    assert result.stdout == "nothing was sent\n"
    assert signed_in.submissions == []
