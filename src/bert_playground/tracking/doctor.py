"""diagnose: whether runs can be tracked and looked at here, and what to do where not; upgrade_store, restore_experiment."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from bert_playground.extras import install_command, missing_modules
from bert_playground.finding import BAD, GOOD, NOTE, Finding
from bert_playground.lookup import count_of, nearest, shorten
from bert_playground.tracking.browse import Store
from bert_playground.tracking.store import (
    TRACKING_URI,
    choose_store,
    database_file,
    hide_secrets,
    import_mlflow,
)
from bert_playground.tracking.ui import find_launcher, mlflow_version


def diagnose(asked: str | None, output_dir: Path) -> list[Finding]:
    """Look at packages, the address, the database, what is in it, and the way to the page; nothing is changed."""
    found = [_packages()]
    try:
        address = choose_store(asked, output_dir)
    except ValueError as error:
        return [*found, Finding("store", BAD, str(error))]
    source = f" ({TRACKING_URI})" if asked is None and os.environ.get(TRACKING_URI) else ""
    found.append(Finding("store", GOOD, hide_secrets(address) + source))
    if missing_modules("mlflow"):
        return found
    found += _database(address)
    if all(each.state != BAD for each in found):
        found += _content(address)
    return [*found, _page()]


def _packages() -> Finding:
    if missing := missing_modules("mlflow"):
        return Finding("packages", BAD, f"missing: {', '.join(missing)}", install_command("mlflow"))
    return Finding("packages", GOOD, f"mlflow {mlflow_version()}")


def _database(address: str) -> Iterator[Finding]:
    file = database_file(address)
    if file is None:
        return
    if not file.is_file():
        place = next(parent for parent in file.parents if parent.exists())
        state = NOTE if os.access(place, os.W_OK) else BAD
        remedy = (
            "train with --mlflow, which makes it" if state == NOTE else f"make {place} writable"
        )
        yield Finding("database", state, f"{file} does not exist yet", remedy)
        return
    is_writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    yield Finding(
        "permissions",
        GOOD if is_writable else BAD,
        "the database can be written" if is_writable else f"{file} or its folder cannot be written",
        "" if is_writable else f"chmod u+w {file.parent} {file}",
    )
    yield _schema(file)


def _schema(file: Path) -> Finding:
    import_mlflow()
    from mlflow.store.db.utils import _get_latest_schema_revision

    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return Finding("tables", BAD, f"{file} is no database of MLflow ({error})", "move it away")
    here, wanted = (row or [""])[0], _get_latest_schema_revision()
    if here == wanted:
        return Finding("tables", GOOD, f"version {here}, that of the installed mlflow")
    return Finding(
        "tables",
        BAD,
        f"version {here}, but mlflow {mlflow_version()} has {wanted}",
        "bert mlflow doctor --upgrade, which copies the database first; of one that a newer mlflow made: update mlflow-skinny",
    )


def _content(address: str) -> Iterator[Finding]:
    file = database_file(address)
    if file is not None and not file.is_file():
        return
    try:
        store = Store(address)
        experiments = store.experiments
        runs = store.list_runs(nested=True)
    except ValueError as error:
        yield Finding("connection", BAD, str(error))
        return
    listed = f"{count_of(len(experiments), 'experiment')}, {count_of(len(runs), 'run')}"
    yield Finding("connection", GOOD, listed)
    running = [run for run in runs if run.status == "RUNNING"]
    if running:
        yield Finding(
            "running",
            NOTE,
            f"{shorten((run.name for run in running), 5)} did not end: underway, or killed",
            "a killed run is marked when it is resumed",
        )
    lost = [
        each.name
        for each in store.ask(lambda: list(store.client.search_experiments()))
        if each.artifact_location.startswith("file:")
        and not Path(each.artifact_location.removeprefix("file://")).is_dir()
        and any(run.experiment == each.name for run in runs)
    ]
    if lost:
        yield Finding(
            "artifacts",
            NOTE,
            f"the files of {shorten(lost)} are not where the database says",
            "a store that was moved keeps its numbers; move it back for its files",
        )


def _page() -> Finding:
    try:
        return Finding("page", GOOD, f"bert mlflow ui, by {find_launcher().what}")
    except ValueError as error:
        return Finding("page", NOTE, str(error))


def upgrade_store(address: str) -> Path:
    """Bring a database of SQLite to the tables of the installed version.

    Returns:
        The copy that was made before.

    Raises:
        ValueError: it is no file, or of a newer version.
        FileNotFoundError: it is not there.
    """
    file = database_file(address)
    if file is None:
        raise ValueError(
            f"only a database in a file is upgraded here; where {hide_secrets(address)} runs: mlflow db upgrade"
        )
    if not file.is_file():
        raise FileNotFoundError(f"no MLflow store at {file}; name it with --store")
    import_mlflow()
    import sqlalchemy
    from mlflow.store.db.utils import _upgrade_db

    copy = file.with_name(f"{file.name}.{datetime.now():%Y%m%d_%H%M%S}")
    shutil.copy2(file, copy)
    try:
        _upgrade_db(sqlalchemy.create_engine(address))
    except Exception as error:
        shutil.copy2(copy, file)
        copy.unlink()
        raise ValueError(
            f"{file} cannot be upgraded ({hide_secrets(error)}), and is as it was; a newer mlflow may have made it: "
            "update mlflow-skinny"
        ) from error
    return copy


def restore_experiment(store: Store, name: str) -> None:
    """Bring back an experiment that was deleted.

    Raises:
        ValueError: there is no deleted one of this name.
    """

    def ask() -> dict[str, Any]:
        from mlflow.entities import ViewType

        found = store.client.search_experiments(view_type=ViewType.DELETED_ONLY)
        return {each.name: each.experiment_id for each in found}

    deleted = store.ask(ask)
    if name not in deleted:
        known = shorten(sorted(deleted)) or "none"
        raise ValueError(
            f"no deleted experiment {name!r}{nearest(name, deleted)} (deleted: {known})"
        )
    store.ask(lambda: store.client.restore_experiment(deleted[name]))
