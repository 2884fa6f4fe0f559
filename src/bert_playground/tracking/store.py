"""Where MLflow's store is, and the way to it: choose_store, connect, hide_secrets, explain, is_passing."""

import logging
import os
import re
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bert_playground.extras import require_extra

DATABASE = "mlflow.db"
TRACKING_URI = "MLFLOW_TRACKING_URI"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SCHEMES = ("http", "https", "databricks", "databricks-uc", "uc")
# Faults of the way to a server rather than of what is sent: they may pass.
PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
LASTING = re.compile(
    "readonly|read-only|unable to open|permission denied|no such table|out-of-date|Can't locate revision",
    re.IGNORECASE,
)


def store_address(output_dir: Path) -> str:
    """The tracking URI of the database under an output folder; absolute, so that it holds from any directory."""
    return f"sqlite:///{output_dir.resolve() / DATABASE}"


def choose_store(asked: str | Path | None, output_dir: Path) -> str:
    """The tracking URI that is meant.

    Args:
        asked: an address, a database file, or the folder that holds mlflow.db; None: MLFLOW_TRACKING_URI, else the
            database under the output folder.
        output_dir: of runs.

    Raises:
        ValueError: it is a folder of files, which MLflow 3 refuses, or no address at all.
    """
    given = str(asked or os.environ.get(TRACKING_URI) or "").strip()
    if not given:
        return store_address(output_dir)
    scheme = given.partition(":")[0].partition("+")[0].lower() if ":" in given else ""
    if scheme in DATABASES and "://" in given:
        return _make_absolute(given)
    if scheme in SCHEMES:
        return given
    if scheme not in ("", "file"):
        raise ValueError(
            f"{hide_secrets(given)} is no address that MLflow knows: expected http(s)://…, sqlite:///…/{DATABASE}, "
            f"or the folder that holds {DATABASE}"
        )
    return _find_database(Path(given.removeprefix("file://").removeprefix("file:")), asked is None)


def _make_absolute(address: str) -> str:
    before, slashes, path = address.partition(":///")
    if before != "sqlite" or not path or path.startswith((":memory:", "/")):
        return address
    return f"{before}{slashes}{Path(path).resolve()}"


def _find_database(path: Path, is_from_environment: bool) -> str:
    if path.is_file():
        return f"sqlite:///{path.resolve()}"
    if (path / DATABASE).is_file():
        return store_address(path)
    beside = path.parent / DATABASE
    said = f"{TRACKING_URI}={path}" if is_from_environment else str(path)
    if path.name == "mlruns" or (path / "meta.yaml").is_file() or (path / "0").is_dir():
        what = "names a folder of files, a store that MLflow 3 no longer opens"
    else:
        what = f"is neither an address nor a place with {DATABASE}"
    if beside.is_file():
        hint = f"its own runs are in {beside}: bert mlflow ui --store {beside}"
    elif is_from_environment:
        hint = f"unset {TRACKING_URI}, or set it to sqlite:///{beside.resolve()} or to a server's address"
    else:
        hint = f"train with --mlflow first, which makes output/{DATABASE}"
    raise ValueError(f"{said} {what}; {hint}")


def database_file(address: str) -> Path | None:
    """The file of an SQLite store; None: it is elsewhere."""
    before, _, path = address.partition(":///")
    return Path(path) if before.startswith("sqlite") and path else None


def is_server(address: str) -> bool:
    """Whether it is a server, which has its page at the same address."""
    return address.startswith(("http://", "https://"))


def hide_secrets(text: object) -> str:
    """The text without passwords and tokens of the addresses in it."""
    hidden = re.sub(r"(\w[\w+.-]*://)\S*@", r"\1***@", str(text))
    return re.sub(
        r"([?&;][\w-]*(?:password|passwd|pwd|token|secret|key|sig)[\w-]*=)[^&;\s]+",
        r"\1***",
        hidden,
        flags=re.IGNORECASE,
    )


def require_mlflow() -> None:
    """Check before hours of training that the extra is there.

    Raises:
        ValueError: it is not; says how to install it.
    """
    require_extra("mlflow", "MLflow tracking")


def import_mlflow() -> Any:
    """The package; nobody is told that it is used, unless MLFLOW_DISABLE_TELEMETRY says so.

    Raises:
        ValueError: it is not installed.
    """
    require_mlflow()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # What does not get through is sent again by the outbox; here a failure should be noticed soon.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # where --json goes
    warnings.filterwarnings("ignore", module=r"mlflow(\.|$)")
    import mlflow

    for name in ("mlflow", "alembic"):  # what matters of their messages is in the errors
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def connect(address: str) -> Any:
    """An MlflowClient of a store; a new SQLite file is made first, with its tables, which takes seconds."""
    mlflow = import_mlflow()
    file = database_file(address)
    if file is not None and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        _create_database(file)
    return mlflow.MlflowClient(tracking_uri=address)


def _create_database(file: Path) -> None:
    """Whole or not at all: MLflow cannot go on with tables that a killed process left half-made."""
    mlflow = import_mlflow()
    with TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder:
        first, whole = Path(folder) / "first.db", Path(folder) / "whole.db"
        mlflow.MlflowClient(tracking_uri=f"sqlite:///{first.resolve()}").search_experiments()
        with closing(sqlite3.connect(first)) as database:
            database.execute("VACUUM INTO ?", (str(whole),))
        try:
            os.link(whole, file)
        except OSError:  # a disk without links, or another process was quicker
            if not file.exists():
                whole.replace(file)


def is_passing(error: BaseException) -> bool:
    """Whether sending the same later may work: the way to the store failed, not what was sent."""
    if LASTING.search(str(error)):
        return False
    code = getattr(error, "error_code", None)
    if code is not None:
        return code in PASSING
    if isinstance(
        error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError
    ):
        return False
    return isinstance(error, OSError) or "locked" in str(error)


def explain(error: BaseException, address: str) -> str:
    """What went wrong in one line, without secrets, and what to do."""
    text = hide_secrets(error).strip().splitlines()
    first = text[0] if text else type(error).__name__
    where = hide_secrets(address)
    whole = str(error)
    if "_alembic_tmp" in whole:
        return f"the tables of {where} were left half-made; move it away, and it is made anew"
    if "out-of-date" in whole or "Can't locate revision" in whole or "no such table" in whole:
        return f"the database {where} is of another version of MLflow; `bert mlflow doctor --upgrade` copies it and brings it up to date"
    if "readonly" in whole or "unable to open" in whole:
        return f"{where} cannot be written; change the permissions, or train with --output-dir elsewhere"
    if re.search("error code 40[13]|UNAUTHENTICATED|PERMISSION_DENIED", whole):
        return (
            f"{where} refuses: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, for "
            "somebody who may write there"
        )
    if re.search(
        "Connection refused|Max retries|timed out|Name or service not known|Failed to resolve",
        whole,
    ):
        return f"no MLflow server answers at {where}; start it, or correct {TRACKING_URI}"
    if "deleted" in whole.lower() and "experiment" in whole.lower():
        return f"{first}; choose another --experiment, or restore it on MLflow's page"
    return f"{first[:300]} ({where})"
