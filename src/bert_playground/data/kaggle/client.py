"""KaggleClient: what the commands ask of Kaggle, on the official package; each fault is one message."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bert_playground.data.kaggle.credentials import Credentials, find_credentials
from bert_playground.data.kaggle.faults import (
    NOT_FOUND,
    TOO_MANY,
    UNAUTHORIZED,
    KaggleError,
    explain_failure,
)
from bert_playground.data.kaggle.official_api import ENDPOINT, make_official_api, silenced
from bert_playground.data.kaggle.records import (
    Competition,
    DataFile,
    LeaderboardRow,
    Limits,
    Submission,
)
from bert_playground.logger import logger
from bert_playground.lookup import shorten

Answer = TypeVar("Answer")
MOST_TRIES = 3  # of a question that Kaggle puts off
LONGEST_WAIT = 30.0  # seconds that a command waits by itself when it is told to
PAGE = 100
MOST_PAGES = 100


class KaggleClient:
    """Questions to Kaggle by one user.

    Attributes:
        credentials: that are used.
        known: names of competitions, for the nearest one to a wrong name.
    """

    def __init__(
        self, credentials: Credentials, endpoint: str | None = None, known: Sequence[str] = ()
    ) -> None:
        """Sign in; see `make_official_api`."""
        self.credentials, self.known = credentials, tuple(known)
        try:
            with silenced():
                self._api = make_official_api(credentials, endpoint)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:
            raise explain_failure(error, credentials) from None

    @classmethod
    def connect(cls, known: Sequence[str] = ()) -> "KaggleClient":
        """With the credentials of this machine, at the address of KAGGLE_API_ENDPOINT if that is set.

        Raises:
            ValueError: there are none, or the package is not installed.
        """
        return cls(find_credentials(), os.environ.get(ENDPOINT) or None, known)

    def whoami(self) -> str:
        """The user's name, as Kaggle has it.

        Raises:
            KaggleError: the credentials are refused.
        """
        credentials = self.credentials
        if credentials.kind != "access token":
            self._ask(lambda: self._api.competitions_list(page_size=1))
            return credentials.username or str(self._api.config_values.get("username") or "?")
        name = self._ask(lambda: self._api._introspect_token(credentials.secret))
        if not name:
            message = f"Kaggle refuses the {credentials}: it has expired or was revoked; make a new one at https://www.kaggle.com/settings/api"
            raise KaggleError(message, UNAUTHORIZED)
        return str(name)

    def list_competitions(
        self, search: str = "", group: str = "general", page: int = 1
    ) -> list[Competition]:
        """A page of competitions.

        Args:
            search: words in their names.
            group: "general", "entered", "community" or "all".
            page: from 1 on.
        """
        answer = self._ask(
            lambda: self._api.competitions_list(group=group, search=search, page=page)
        )
        return [Competition.of(each) for each in answer.competitions or []]

    def describe(self, competition: str) -> Competition:
        """The facts of one competition.

        Raises:
            KaggleError: there is none of this name; the message has the nearest one.
        """

        def ask() -> Any:
            from kagglesdk.competitions.types.competition_api_service import (
                ApiGetCompetitionRequest,
            )

            request = ApiGetCompetitionRequest()
            request.competition_name = competition
            with self._api.build_kaggle_client() as kaggle:
                return kaggle.competitions.competition_api_client.get_competition(request)

        return Competition.of(self._ask(ask, competition))

    def list_files(self, competition: str) -> list[DataFile]:
        """All files of a competition.

        Raises:
            KaggleError: unknown, or its rules are not accepted.
        """
        files: list[DataFile] = []
        token: str | None = None
        for _ in range(MOST_PAGES):
            ask = partial(
                self._api.competition_list_files, competition, page_token=token, page_size=PAGE
            )
            answer = self._ask(ask, competition)
            files += [DataFile.of(each) for each in answer.files or []]
            token = answer.next_page_token
            if not token:
                break
        return files

    def fetch_bundle(self, competition: str, folder: Path) -> Path:
        """Download all files as one archive; goes on where it stopped. Returns its path.

        Raises:
            KaggleError: it cannot be fetched; what has arrived stays in `folder`.
            ValueError: other files lie there too.
        """
        return self._fetch(
            lambda quiet: self._api.competition_download_files(
                competition, path=str(folder), quiet=quiet
            ),
            competition,
            folder,
        )

    def fetch_file(self, competition: str, name: str, folder: Path) -> Path:
        """Download one file, which may come as an archive of its own; goes on where it stopped. Returns its path.

        Raises:
            KaggleError: it cannot be fetched; what has arrived stays in `folder`.
        """
        return self._fetch(
            lambda quiet: self._api.competition_download_file(
                competition, name, path=str(folder), quiet=quiet
            ),
            competition,
            folder,
        )

    def limits(self, competition: str) -> Limits:
        """How many submissions are left today."""
        answer = self._ask(
            lambda: self._api.competition_get_submission_limits(competition), competition
        )
        return Limits.of(answer)

    def list_submissions(self, competition: str) -> list[Submission]:
        """The latest hundred submissions, the newest first."""
        answer = self._ask(
            lambda: self._api.competition_submissions(competition, page_size=PAGE), competition
        )
        return [Submission.of(each) for each in answer or []]

    def leaderboard(self, competition: str, rows: int = 20) -> list[LeaderboardRow]:
        """The first rows of the public leaderboard."""
        answer = self._ask(
            lambda: self._api.competition_leaderboard_view(competition, page_size=rows), competition
        )
        return [LeaderboardRow.of(rank, each) for rank, each in enumerate(answer or [], 1)]

    def submit(self, competition: str, file: Path, message: str) -> int | None:
        """Send a file, once: nothing is tried again. Returns Kaggle's number of it, where it says one.

        Raises:
            KaggleError: it did not arrive; where its status is None, that is not known.
        """
        with silenced() as printed:
            answer = self._once(
                lambda: self._api.competition_submit(str(file), message, competition, quiet=True),
                competition,
            )
        if answer.message == self._api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:  # nothing raises
            said = self.credentials.redact(" ".join(printed.getvalue().split())[:300])
            reason = f" ({said})" if said else ""
            raise KaggleError(
                f"the upload of {file} failed{reason}; nothing was submitted: repeat the command",
                503,
            )
        return int(answer.ref) or None

    def _fetch(self, act: Callable[[bool], object], competition: str, folder: Path) -> Path:
        quiet = not sys.stderr.isatty()
        try:
            self._ask(lambda: act(quiet), competition)
        except KaggleError as error:
            if error.status is None:
                raise KaggleError(
                    f"the download of {competition!r} did not end: {error}; what has arrived is kept, and the next try goes "
                    "on from there"
                ) from None
            raise
        found = [
            each
            for each in folder.rglob("*")
            if each.is_file() and not each.name.endswith(".kaggle-partial")
        ]
        if len(found) != 1:
            inside = shorten((each.name for each in found), 5) or "no file"
            raise ValueError(
                f"the download of {competition!r} should have left one file in {folder}, which holds {inside}; remove that "
                "folder and repeat the command"
            )
        return found[0]

    def _ask(self, act: Callable[[], Answer], competition: str | None = None) -> Answer:
        """Act, and again when Kaggle says how short a while to wait."""
        for left in reversed(range(MOST_TRIES)):
            try:
                with silenced():
                    return self._once(act, competition)
            except KaggleError as error:
                wait = error.retry_after
                if error.status != TOO_MANY or wait is None or wait > LONGEST_WAIT or not left:
                    raise
                logger.warning(f"Kaggle asks to wait {wait:.0f} seconds")
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _once(self, act: Callable[[], Answer], competition: str | None) -> Answer:
        try:
            return act()
        except (Exception, SystemExit) as error:
            failure = explain_failure(error, self.credentials, competition)
        if failure.status == NOT_FOUND and competition is not None:
            near = self._nearest(competition)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            see = f"see `bert kaggle competitions --search {competition.replace('-', ' ').split()[0]}`"
            failure = KaggleError(f"{failure}{hint or '; ' + see}", NOT_FOUND)
        raise failure

    def _nearest(self, competition: str) -> list[str]:
        """Names like this one, of those that are known and those that Kaggle finds by its words."""
        found = set(self.known)
        words = [word for word in competition.replace("_", "-").split("-") if len(word) > 3]
        for word in dict.fromkeys((competition, *words[:2], competition[:4])):
            try:
                with silenced():
                    answer = self._api.competitions_list(search=word)
                found |= {Competition.of(each).slug for each in answer.competitions or []}
            except (Exception, SystemExit):  # the first fault is the one to tell
                break
        return get_close_matches(competition, sorted(found - {competition}), n=3, cutoff=0.5)
