"""plan_submission, look_before, send: a submission that is checked, written down, and sent once."""

from dataclasses import dataclass
from pathlib import Path

from bert_playground.data.kaggle.client import KaggleClient
from bert_playground.data.kaggle.faults import KaggleError
from bert_playground.data.kaggle.records import Limits
from bert_playground.data.kaggle.submission_check import SubmissionCheck, check_submission
from bert_playground.logger import logger
from bert_playground.training.kaggle.decide_submission import Decision, decide_submission
from bert_playground.training.kaggle.ledger import SENDING, SENT, Entry, Ledger, describe_repeat
from bert_playground.training.kaggle.run_score import RunScore, digest_file

MOST_MESSAGE = 500  # characters


@dataclass(frozen=True)
class Plan:
    """A file, ready to be sent.

    Attributes:
        entry: what the ledger will say.
        check: what was found in the file.
        limits: of today; None: Kaggle was not asked.
        decision: of the rule of --auto-submit; None: not asked for.
    """

    entry: Entry
    check: SubmissionCheck
    limits: Limits | None
    decision: Decision | None


def plan_submission(
    competition: str,
    file: Path,
    sample: Path,
    *,
    score: RunScore | None = None,
    message: str | None = None,
) -> Plan:
    """Check the file against the sample and word its message; nothing is sent.

    Args:
        competition: its name on Kaggle.
        file: to send.
        sample: submission of the competition.
        score: of the run that answered; None: not known.
        message: None: run, score and commit, or the file's name.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: the file does not fit the sample; all faults are listed.
    """
    check = check_submission(file, sample)
    check.refuse_faults(file, sample)
    words = message or (file.name if score is None else score.describe())
    if len(words) > MOST_MESSAGE:
        raise ValueError(f"the message has {len(words)} characters, the most are {MOST_MESSAGE}")
    known = {} if score is None else {name: getattr(score, name) for name in _OF_THE_RUN}
    entry = Entry(competition, str(file), digest_file(file), words, **known)
    return Plan(entry, check, None, None)


def look_before(
    plan: Plan, client: KaggleClient, ledger: Ledger, score: RunScore | None, *, auto: bool
) -> Plan:
    """Ask for the limits, learn what became of sendings without an answer, and decide where `auto` asks for it."""
    competition = plan.entry.competition
    limits = client.limits(competition)
    if auto or any(row.state == SENDING for row in ledger.rows(competition)):
        ledger.take_scores(competition, client.list_submissions(competition))
        ledger.give_up_lost(competition)
    decision = None
    if auto:
        decision = decide_submission(
            score or RunScore(Path(plan.entry.file).name),
            ledger.rows(competition),
            limits.left_today,
        )
    return Plan(plan.entry, plan.check, limits, decision)


def refuse_repeat(plan: Plan, ledger: Ledger) -> None:
    """Stop where the ledger knows that Kaggle has the content; nobody needs to be asked.

    Raises:
        ValueError: it has.
    """
    last = ledger.find(plan.entry.competition, plan.entry.digest)
    if last is not None and last.state == SENT:
        raise ValueError(describe_repeat(last))


def send(plan: Plan, client: KaggleClient, ledger: Ledger, *, again: bool = False) -> int | None:
    """Send the file, once. Returns Kaggle's number of it.

    Raises:
        ValueError: the same content was sent before, and `again` is False; no submissions are left; the file has changed.
        KaggleError: Kaggle does not take it, or it is not known whether it did.
    """
    entry, limits = plan.entry, plan.limits
    last = ledger.find(entry.competition, entry.digest)
    if last is not None and not again:
        raise ValueError(describe_repeat(last))
    if limits is not None and limits.left_today < 1:
        raise ValueError(
            f"no submissions to {entry.competition!r} are left today ({limits.today} were sent); the day ends at "
            "midnight UTC"
        )
    file = Path(entry.file)
    if digest_file(file) != entry.digest:
        raise ValueError(f"{file} has changed since it was checked; repeat the command")
    number = ledger.begin(entry, again=again)
    try:
        ref = client.submit(entry.competition, file, entry.message)
    except KaggleError as error:
        if error.status is not None:
            ledger.fail(number, str(error))
            raise
        raise KaggleError(
            f"{error}. Whether the file arrived is not known: `bert kaggle submissions {entry.competition}` tells; it is not "
            "sent again without --again"
        ) from None
    ledger.finish(number, ref)
    _compare_size(client, entry, ref)
    return ref


def _compare_size(client: KaggleClient, entry: Entry, ref: int | None) -> None:
    """A warning where Kaggle has another number of bytes; that it cannot be asked is no fault of the submission."""
    try:
        found = next((s for s in client.list_submissions(entry.competition) if s.ref == ref), None)
    except KaggleError as error:
        logger.warning(f"sent, but Kaggle does not tell what arrived: {error}")
        return
    size = Path(entry.file).stat().st_size
    if found is not None and found.num_bytes not in (None, size):
        logger.warning(f"Kaggle has {found.num_bytes:,} bytes of it, {entry.file} has {size:,}")


_OF_THE_RUN = ("run", "folds", "git_commit", "metric", "higher_is_better", "score", "error")
