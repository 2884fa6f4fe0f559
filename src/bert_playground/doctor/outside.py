"""check_kaggle, check_mlflow, check_network, check_environment: what lies outside of the program; secrets are never said."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bert_playground.finding import BAD, GOOD, NOTE, Finding
from bert_playground.hub_errors import find_offline

SECONDS = 3.0


def check_kaggle() -> Iterator[Finding]:
    """Which credentials Kaggle would be spoken to with, by their source."""
    from bert_playground.data.kaggle.credentials import SETTINGS_PAGE, find_credentials, open_files

    try:
        found = find_credentials()
    except ValueError as error:
        is_damaged = not str(error).startswith("no Kaggle credentials")
        first, _, rest = str(error).partition("; ")
        if is_damaged:
            yield Finding("kaggle", BAD, first, rest or f"make new ones at {SETTINGS_PAGE}")
        else:
            yield Finding("kaggle", NOTE, "no credentials", f"for bert kaggle: {rest}")
        return
    except OSError as error:
        yield Finding("kaggle", BAD, f"credentials cannot be read: {error}", "chmod 600 the file")
        return
    yield Finding("kaggle", GOOD, str(found))
    for path in open_files():
        yield Finding("kaggle", NOTE, f"{path} can be read by other users", f"chmod 600 {path}")


def check_mlflow(output_dir: Path) -> Iterator[Finding]:
    """What `bert mlflow doctor` says; nothing without the extra, which is a finding of its own."""
    from bert_playground.extras import missing_modules
    from bert_playground.tracking.doctor import diagnose

    if missing_modules("mlflow"):
        return
    for each in diagnose(None, output_dir):
        yield Finding(f"mlflow {each.what}", each.state, each.found, each.remedy)


def check_network(is_asked: bool = True) -> Iterator[Finding]:
    """Whether the Hub and Kaggle answer.

    Args:
        is_asked: false: nothing is sent.
    """
    offline = find_offline()
    if offline:
        yield Finding("network", NOTE, f"offline, as {offline} asks", f"unset {offline}")
    if not is_asked:
        yield Finding("network", NOTE, "not asked", "leave --offline out")
        return
    if not offline:
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        yield _ask(
            "the Hub",
            hub,
            "take a local folder or random weights; HF_HUB_OFFLINE=1 ends the waiting",
        )
    yield _ask("Kaggle", "https://www.kaggle.com", "tables that are here already need none")


def _ask(what: str, address: str, remedy: str) -> Finding:
    """One request for the head of a page; any answer is one."""
    request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "bert doctor"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            pass
    except urllib.error.HTTPError:
        pass  # it answered
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Finding("network", NOTE, f"{what} does not answer ({reason})", remedy)
    return Finding("network", GOOD, f"{what} answers")


def check_environment() -> Iterator[Finding]:
    """Variables that change every run; their names alone."""
    names = [name for name in sorted(os.environ) if name.startswith("BERT_") and "__" in name]
    if names:
        yield Finding(
            "environment",
            NOTE,
            f"settings of every run: {', '.join(names)}",
            "unset what is not meant",
        )
