"""Which store is meant, what it says when it fails, and that no secret is printed."""

from pathlib import Path

import pytest

from bert_playground import extras
from bert_playground.tracking import store
from bert_playground.tracking.store import choose_store, explain, hide_secrets, is_passing


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_database_lies_under_the_output_folder(tmp_path: Path) -> None:
    assert choose_store(None, tmp_path) == f"sqlite:///{tmp_path.resolve()}/mlflow.db"


def test_the_environment_names_another_store(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert choose_store(None, tmp_path) == "http://tracking.example:5000"
    asked = "sqlite:///elsewhere.db"
    assert choose_store(asked, tmp_path) == f"sqlite:///{Path('elsewhere.db').resolve()}"


def test_a_folder_or_a_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    for asked in (tmp_path, tmp_path / "mlflow.db", f"file://{tmp_path}"):
        assert choose_store(asked, Path("output")) == f"sqlite:///{tmp_path.resolve()}/mlflow.db"


def test_the_old_folder_of_files_is_led_to_the_database_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(ValueError, match=r"no longer opens.* bert mlflow ui --store"):
        choose_store(tmp_path / "mlruns", Path("output"))


def test_a_folder_of_files_in_the_environment_says_what_to_set(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
    with pytest.raises(ValueError, match="unset MLFLOW_TRACKING_URI, or set it to sqlite:///"):
        choose_store(None, tmp_path)


def test_an_unknown_scheme_is_refused_without_its_secret(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ftp://\*\*\*@host is no address"):
        choose_store("ftp://me:hunter2@host", tmp_path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pw@host/db", "postgresql://***@host/db"),
        ("failed at http://me:p%40w@host:5000/x now", "failed at http://***@host:5000/x now"),
        ("mysql://me:p/w@x@host/db", "mysql://***@host/db"),
        ("https://host/?token=abc&a=1", "https://host/?token=***&a=1"),
        ("mssql://host/db?user=a;password=b", "mssql://host/db?user=a;password=***"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
    ],
)
def test_secrets_of_addresses_are_not_shown(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Detected out-of-date database schema (found version 1)", "bert mlflow doctor --upgrade"),
        ("(sqlite3.OperationalError) attempt to write a readonly database", "cannot be written"),
        ("Max retries exceeded: Connection refused", "no MLflow server answers at"),
        ("request failed with error code 401 != 200", "set MLFLOW_TRACKING_USERNAME"),
        ("something else\nwith more lines", "something else (http://***@host)"),
    ],
)
def test_a_fault_says_what_to_do(text: str, told: str) -> None:
    said = explain(RuntimeError(text), "http://me:pw@host")
    assert told in said
    assert "pw" not in said
    assert "\n" not in said


def test_the_way_to_the_store_may_heal_and_what_is_sent_may_not() -> None:
    assert is_passing(ConnectionError("refused"))
    assert is_passing(RuntimeError("database is locked"))
    assert not is_passing(PermissionError("no"))
    assert not is_passing(OSError("attempt to write a readonly database"))
    assert not is_passing(ValueError("bad name"))


def test_what_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "alembic" else name)
    with pytest.raises(ValueError, match="needs alembic; install: uv sync --extra mlflow"):
        store.require_mlflow()
