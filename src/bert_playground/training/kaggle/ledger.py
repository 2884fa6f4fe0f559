"""Ledger: what was sent to a competition, by which run, and how it scored; one SQLite file that processes may share."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bert_playground.data.kaggle.records import Submission

LEDGER_NAME = "ledger.sqlite"
VERSION = 1
APPLICATION = 0x62657274  # "bert": tells the file from those of other programs
BUSY_SECONDS = 30.0  # that a process waits for another one
WRITTEN = "%Y-%m-%d %H:%M:%S"  # moments, in UTC
LONGEST_SENDING = timedelta(hours=1)  # no process is still at it
SENDING, SENT, FAILED = "sending", "sent", "failed"

TABLE = """
CREATE TABLE IF NOT EXISTS submission (
    number INTEGER PRIMARY KEY,
    competition TEXT NOT NULL,
    file TEXT NOT NULL,
    digest TEXT NOT NULL,
    repeat INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL,
    run TEXT,
    folds TEXT,
    git_commit TEXT,
    metric TEXT,
    higher_is_better INTEGER,
    score REAL,
    error REAL,
    state TEXT NOT NULL,
    began TEXT NOT NULL,
    ref INTEGER,
    status TEXT,
    public_score REAL,
    private_score REAL
) STRICT
"""
ONCE = """
CREATE UNIQUE INDEX IF NOT EXISTS once ON submission (competition, digest, repeat) WHERE state != 'failed'
"""


@dataclass(frozen=True)
class LedgerRow:
    """One submission.

    Attributes:
        number: in the ledger, from 1.
        competition: its name on Kaggle.
        file: that was sent.
        digest: SHA-256 of its content.
        repeat: how often the same content was sent before, because it was asked for.
        message: that Kaggle shows beside it.
        run: its folder's name.
        folds: SHA-256 of the folds file that the score is of.
        git_commit: of the code that trained it.
        metric: of the score.
        higher_is_better: of the metric.
        score: out of fold, or on validation rows where the run had one split.
        error: standard error of the score.
        state: "sending" until Kaggle has answered, then "sent" or "failed".
        began: when, in UTC.
        ref: Kaggle's number of it.
        status: Kaggle's word for it.
        public_score: on the public leaderboard.
        private_score: on the private one, after the end.
    """

    number: int
    competition: str
    file: str
    digest: str
    repeat: int
    message: str
    run: str | None
    folds: str | None
    git_commit: str | None
    metric: str | None
    higher_is_better: bool | None
    score: float | None
    error: float | None
    state: str
    began: str
    ref: int | None
    status: str | None
    public_score: float | None
    private_score: float | None


@dataclass(frozen=True)
class Entry:
    """What is known of a submission before it is sent; the fields are those of `LedgerRow`."""

    competition: str
    file: str
    digest: str
    message: str
    run: str | None = None
    folds: str | None = None
    git_commit: str | None = None
    metric: str | None = None
    higher_is_better: bool | None = None
    score: float | None = None
    error: float | None = None


class Ledger:
    """An open ledger; see `open_ledger`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection

    def rows(self, competition: str | None = None) -> list[LedgerRow]:
        """All submissions in the order in which they began, or those of one competition."""
        names = ", ".join(field.name for field in fields(LedgerRow))
        found = self._connection.execute(
            f"SELECT {names} FROM submission WHERE ?1 IS NULL OR competition = ?1 ORDER BY number",
            (competition,),
        )
        return [_as_row(values) for values in found]

    def find(self, competition: str, digest: str) -> LedgerRow | None:
        """The last submission of this content that did not fail; None: it was never sent."""
        same = [row for row in self.rows(competition) if row.digest == digest]
        return next((row for row in reversed(same) if row.state != FAILED), None)

    def begin(self, entry: Entry, *, again: bool = False) -> int:
        """Write down that a file is about to be sent; returns its number.

        Of two processes that send the same content only one gets here.

        Raises:
            ValueError: the content was sent before, or another process is sending it, and `again` is False.
        """
        with self._writing():
            last = self.find(entry.competition, entry.digest)
            if last is not None and not again:
                raise ValueError(describe_repeat(last))
            values = {name: getattr(entry, name) for name in _names(Entry)} | {
                "state": SENDING,
                "began": datetime.now(UTC).strftime(WRITTEN),
                "repeat": 0 if last is None else last.repeat + 1,
            }
            columns, marks = ", ".join(values), ", ".join("?" for _ in values)
            cursor = self._connection.execute(
                f"INSERT INTO submission ({columns}) VALUES ({marks})", tuple(values.values())
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def finish(self, number: int, ref: int | None) -> None:
        """Kaggle has it."""
        with self._writing():
            self._connection.execute(
                "UPDATE submission SET state = ?, ref = ? WHERE number = ?", (SENT, ref, number)
            )

    def fail(self, number: int, why: str) -> None:
        """Kaggle does not have it, so that it may be sent anew."""
        with self._writing():
            self._connection.execute(
                "UPDATE submission SET state = ?, status = ? WHERE number = ?",
                (FAILED, why, number),
            )

    def take_scores(self, competition: str, submissions: Sequence[Submission]) -> int:
        """Write down what Kaggle says of submissions; returns how many rows changed.

        A row whose answer got lost is the submission with the same file name and message.
        """
        before = self._connection.total_changes
        with self._writing():
            for row in self.rows(competition):
                known = {row.ref for row in self.rows(competition)}
                found = next((each for each in submissions if _is_same(row, each, known)), None)
                if found is not None:
                    self._take(row, found)
        return self._connection.total_changes - before

    def give_up_lost(self, competition: str) -> None:
        """Sendings of long ago that Kaggle has no trace of did not arrive; call it after `take_scores`."""
        for row in self.rows(competition):
            if row.state == SENDING and datetime.now(UTC) - _moment(row.began) > LONGEST_SENDING:
                self.fail(row.number, "Kaggle has no trace of it")

    def _take(self, row: LedgerRow, found: Submission) -> None:
        new = (SENT, found.ref, found.status, found.public_score, found.private_score)
        if new != (row.state, row.ref, row.status, row.public_score, row.private_score):
            self._connection.execute(
                "UPDATE submission SET state = ?, ref = ?, status = ?, public_score = ?, private_score = ? WHERE number = ?",
                (*new, row.number),
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, alone."""
        with _faults_named(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open the file, made if it is not there, and close it after the block.

    Raises:
        ValueError: it is damaged, another program's, or of a later version.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _faults_named(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(connection):
            _set_up(path, connection)
            yield Ledger(path, connection)


def describe_repeat(row: LedgerRow) -> str:
    """Why the same content is not sent once more."""
    if row.state == SENDING:
        return (
            f"this content is being sent, or its sending was broken off: number {row.number} of the ledger began {row.began} "
            "UTC and has no answer; see `bert kaggle submissions`, or send it all the same with --again"
        )
    return (
        f"this content was sent already: {row.file} as number {row.number} of the ledger ({row.message}), {row.began} UTC; "
        "to spend another submission on it, add --again"
    )


def _set_up(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and tables:
        raise ValueError(f"{path} is another program's database; name another file with --ledger")
    if version > VERSION:
        raise ValueError(
            f"{path} was written by a later version of bert-playground (format {version}); upgrade"
        )
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise sqlite3.DatabaseError(health)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if version < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(TABLE)
        connection.execute(ONCE)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ValueError(
            f"the ledger {path} cannot be used: {error}; check its folder, and that no other process holds it"
        ) from error
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"the ledger {path} is damaged ({error}); move it away, with {path.name}-wal beside it: "
            "Kaggle still has the submissions and their scores (`bert kaggle submissions`), the runs their own"
        ) from error


def _is_same(row: LedgerRow, submission: Submission, known: set[int | None]) -> bool:
    if row.ref is not None or row.state == FAILED:
        return row.ref == submission.ref
    is_new = submission.ref not in known
    names = (submission.file_name, submission.message) == (Path(row.file).name, row.message)
    return is_new and names and (submission.date is None or submission.date >= _before(row))


def _before(row: LedgerRow) -> str:
    """A day before a sending began: two clocks are never the same."""
    return f"{_moment(row.began) - timedelta(days=1):%Y-%m-%d %H:%M}"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, WRITTEN).replace(tzinfo=UTC)


def _as_row(values: Sequence[object]) -> LedgerRow:
    named: dict[str, Any] = dict(zip(_names(LedgerRow), values, strict=True))
    direction = named["higher_is_better"]  # SQLite has no booleans
    return LedgerRow(**named | {"higher_is_better": None if direction is None else bool(direction)})


def _names(kind: type[LedgerRow] | type[Entry]) -> list[str]:
    return [field.name for field in fields(kind)]
