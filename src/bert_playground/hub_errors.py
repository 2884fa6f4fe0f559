"""explain_hub_error: what the Hub, its client or the network refused, and what to do; a token is never said."""

import errno
import os
import re

TOKEN = "set HF_TOKEN, or sign in with `hf auth login`; tokens are made at https://huggingface.co/settings/tokens"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
YES = ("1", "on", "yes", "true")
MEANINGS = {
    401: "the Hub does not know who asks (401): no token, or one that is wrong or was revoked; "
    + TOKEN,
    403: "the Hub does not allow it (403): the token may not write there, or the account may not read it; take a token "
    "with the right to write, and a name under your own account or an organization of yours",
    404: "the Hub has nothing there that this token may see (404): check the spelling, and for a private one that the "
    "token belongs to somebody who may read it",
    409: "somebody else changed the repository at the same time, or the name is taken (409); run the same command again, "
    "or take another name",
    412: "somebody else changed the repository at the same time (412); run the same command again",
    413: "the Hub refuses files of this size (413); quantize the model first: bert model quantize",
    429: "the Hub was asked too often (429); wait some minutes and run the same command again",
}
SERVER_FAULT = "the Hub has a fault of its own ({}); wait and run the same command again"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def explain_hub_error(error: BaseException) -> str:
    """One sentence: what happened, and the remedy."""
    names = {type(each).__name__ for each in chain_of(error)}
    if "OfflineModeIsEnabled" in names or ("LocalEntryNotFoundError" in names and find_offline()):
        return f"the network is not asked, as {find_offline() or OFFLINE[0]} says, and nothing of it lies in the cache; unset it"
    if "RevisionNotFoundError" in names:
        return "the repository has no such revision (404): give a branch, a tag or a commit of it, or leave --revision out"
    if "GatedRepoError" in names:
        return "the model is gated (403): ask for access on its page of the Hub, then run the same command again"
    status = _status_of(error)
    if status in MEANINGS:
        return MEANINGS[status]
    if status is not None and status >= 500:
        return SERVER_FAULT.format(status)
    first = chain_of(error)[-1]  # an uploading thread says only which file it had
    said = without_token(_first_line(first))
    if status is not None:
        return f"the Hub refuses it ({status}: {said})"
    if any(isinstance(each, OSError) or _is_of_network(each) for each in chain_of(error)):
        return f"the Hub does not answer ({said}); check the network and run the same command again"
    return f"its client failed ({type(first).__name__}: {said}); pip install --upgrade huggingface-hub may help"


def find_offline() -> str | None:
    """The variable that forbids the network; None: it is allowed."""
    name = next((name for name in OFFLINE if os.environ.get(name)), None)  # the first one counts
    return name if name and os.environ[name].lower() in YES else None


def is_about_disk(error: BaseException) -> bool:
    """Whether the disk is full, which is no matter of the Hub."""
    return isinstance(error, OSError) and error.errno in NO_SPACE


def without_token(text: str) -> str:
    """The text with what looks like a token taken out."""
    return re.sub(r"\b(hf_|Bearer )[A-Za-z0-9_.-]+", r"\1***", text)


def chain_of(error: BaseException) -> list[BaseException]:
    """The error and what caused it: uploads in threads wrap what the Hub said."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return found


def _status_of(error: BaseException) -> int | None:
    for each in chain_of(error):
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _is_of_network(error: BaseException) -> bool:
    """Whether the client's HTTP library raised it: requests in its versions before 1, httpx later."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
