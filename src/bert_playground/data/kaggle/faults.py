"""KaggleError; explain_failure: what the package raises → one message that says what happened and what to do."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from bert_playground.data.kaggle.credentials import SETTINGS_PAGE, Credentials
from bert_playground.data.kaggle.records import RULES

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 400, 401, 403, 404, 429
LONGEST_QUOTE = 300  # characters of a server's words


class KaggleError(ValueError):
    """Kaggle refused, failed or could not be reached.

    Attributes:
        status: of HTTP; None: no answer came, so whether the request was carried out is not known.
        retry_after: seconds that the server asks to wait; None: it does not say.
    """

    def __init__(
        self, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def explain_failure(
    error: BaseException, credentials: Credentials, competition: str | None = None
) -> KaggleError:
    """The same in words for the user, without the secret.

    Args:
        error: of the package, of requests under it, or the end of the process that it asked for.
        credentials: that were used.
        competition: that was asked for.
    """
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status is None:
        return KaggleError(credentials.redact(_explain_silence(error)))
    status = _body_status(response) or status
    words = credentials.redact(_explain_status(status, response, credentials, competition))
    return KaggleError(words, status, _retry_after(response))


def _explain_silence(error: BaseException) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in kinds:
        return "Kaggle did not answer in time; try again later"
    if "ChunkedEncodingError" in kinds or "IncompleteRead" in str(error):
        return "the connection to Kaggle broke off; repeat the command"
    if kinds & {"ConnectionError", "ProtocolError", "RequestException"}:
        return f"Kaggle cannot be reached ({_quote(str(error))}); check the network and try again"
    if isinstance(error, SystemExit):
        return (
            "the kaggle package ended the request; check the credentials with `bert kaggle whoami`"
        )
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'a file'}: {error.strerror}"
    return (
        f"Kaggle's answer could not be understood ({type(error).__name__}: {_quote(str(error))}); "
        "try again, and upgrade the package: pip install --upgrade kaggle"
    )


def _explain_status(
    status: int, response: Any, credentials: Credentials, competition: str | None
) -> str:
    said = _server_words(response)
    quoted = f" ({said})" if said else ""
    if status == UNAUTHORIZED:
        return f"Kaggle refuses the {credentials}: it is wrong, expired or revoked{quoted}; make a new one at {SETTINGS_PAGE}"
    if status == FORBIDDEN and competition:
        return (
            f"Kaggle refuses access to {competition!r} with the {credentials}{quoted}; accept the rules at "
            f"{RULES.format(competition)} and repeat the command"
        )
    if status == FORBIDDEN:
        return f"Kaggle refuses this with the {credentials}{quoted}; check its rights at {SETTINGS_PAGE}"
    if status == NOT_FOUND:
        return f"Kaggle has no {competition!r}{quoted}" if competition else f"not found{quoted}"
    if status == TOO_MANY:
        wait = _retry_after(response)
        time = "a while" if wait is None else f"{wait:.0f} seconds"
        return (
            f"Kaggle has had too many requests from you{quoted}; wait {time} and repeat the command"
        )
    if status >= 500:
        return f"Kaggle has a fault of its own (HTTP {status}){quoted}; try again later"
    return f"Kaggle refuses the request (HTTP {status}){quoted}"


def _body_status(response: Any) -> int | None:
    code = _read_body(response).get("code")
    return code if isinstance(code, int) and code >= BAD_REQUEST else None


def _server_words(response: Any) -> str:
    message = _read_body(response).get("message")
    return _quote(message) if isinstance(message, str) else ""


def _read_body(response: Any) -> dict[str, Any]:
    if "json" not in response.headers.get("Content-Type", ""):
        return {}  # a download: its body is not to be read
    try:
        body = response.json()
    except (ValueError, OSError):
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(response: Any) -> float | None:
    text = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date; one without a zone
        return None


def _quote(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}…"
