"""Where credentials are found, and that no message has a part of them."""

import json
import traceback
from pathlib import Path

import pytest

from bert_playground.data.kaggle.credentials import find_credentials
from tests.kaggle.fake_server import KEY, TOKEN, USER


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_nothing_that_is_printed_has_the_secret(home: Path) -> None:
    found = find_credentials({"KAGGLE_API_TOKEN": TOKEN}, home)
    assert found.secret == TOKEN
    assert TOKEN not in f"{found} {found!r}"
    assert found.redact(f"a {TOKEN} b") == "a *** b"


def test_a_token_may_be_in_the_file_that_is_named(home: Path) -> None:
    file = write(home / "mine", f"  {TOKEN}\n")
    found = find_credentials({"KAGGLE_API_TOKEN": str(file)}, home)
    assert (found.secret, found.source) == (TOKEN, f"the file {file} that KAGGLE_API_TOKEN names")


def test_the_folder_of_the_key_can_be_named(home: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "mine/kaggle.json", json.dumps({"username": USER, "key": KEY}))
    found = find_credentials({"KAGGLE_CONFIG_DIR": str(tmp_path / "mine")}, home)
    assert (found.kind, found.source) == ("API key", str(file))


def test_a_key_in_the_folder_of_settings(home: Path) -> None:
    file = write(home / ".config/kaggle/kaggle.json", json.dumps({"username": USER, "key": KEY}))
    assert find_credentials({}, home).source == str(file)


def test_one_variable_completes_the_file(home: Path) -> None:
    file = write(home / ".kaggle/kaggle.json", json.dumps({"username": "other", "key": KEY}))
    found = find_credentials({"KAGGLE_USERNAME": USER}, home)
    assert (found.username, found.secret) == (USER, KEY)
    assert found.source == f"KAGGLE_USERNAME and {file}"


def test_a_login_comes_last(home: Path) -> None:
    write(home / ".kaggle/credentials.json", json.dumps({"refresh_token": "x"}))
    assert find_credentials({}, home).kind == "login"
    named = {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}
    assert find_credentials(named, home).kind == "API key"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'{{"username": "ada", "key": "{KEY}"', "no valid JSON"),
        (f'["{KEY}"]', "no JSON object"),
        ('{"username": "ada", "key": 17}', "key should be text"),
        (f'{{"key": "{KEY}"}}', "username is missing"),
    ],
)
def test_a_damaged_file_is_named_without_its_content(home: Path, text: str, words: str) -> None:
    file = write(home / ".kaggle/kaggle.json", text)
    with pytest.raises(ValueError, match=words) as caught:
        find_credentials({}, home)
    assert str(file) in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"KAGGLE_KEY": KEY}, "KAGGLE_USERNAME"),
        ({"KAGGLE_USERNAME": USER}, "key is missing"),
        ({"KAGGLE_API_TOKEN": "two words"}, "no access token"),
    ],
)
def test_half_a_secret_is_none(home: Path, environment: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        find_credentials(environment, home)
    assert KEY not in str(caught.value)


def test_an_empty_token_file_is_named(home: Path) -> None:
    write(home / ".kaggle/access_token", "\n")
    with pytest.raises(ValueError, match="access_token is empty"):
        find_credentials({}, home)
