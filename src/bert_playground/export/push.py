"""push_model: a checkpoint as a commit in a repository of the Hub, with its card; what is sent is listed first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_playground.export.card_facts import FACTS, read_facts, write_facts
from bert_playground.export.hub_card import describe_checkpoint
from bert_playground.export.hub_contents import CARD, WANTED, Contents, collect_contents
from bert_playground.hub_errors import (
    TOKEN,
    explain_hub_error,
    find_offline,
    is_about_disk,
)
from bert_playground.logger import logger
from bert_playground.models.hub_files import quiet_bars, require_hub_id
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, find_checkpoint

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MESSAGE = "bert-playground: push {}"


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be.

    Attributes:
        checkpoint: the folder here.
        repo: owner and name.
        files: name in the repository → bytes.
        left_out: name in the folder → why it stayed.
        num_bytes: of all files.
        is_private: whether only its owner reads it; None: not asked yet.
        url: of the commit; None: nothing was sent.
        revision: the commit; None: nothing was sent.
    """

    checkpoint: Path
    repo: str
    files: Mapping[str, int]
    left_out: Mapping[str, str]
    num_bytes: int
    is_private: bool | None = None
    url: str | None = None
    revision: str | None = None


def push_model(
    checkpoint: Path,
    repo: str,
    *,
    is_private: bool = False,
    base: str | None = None,
    message: str | None = None,
    new_card: bool = False,
    is_dry: bool = False,
) -> Pushed:
    """Send a checkpoint: weights, pipeline and tokenizer as they are, and a card of what the run measured.

    The token is that of huggingface_hub: HF_TOKEN, or what `hf auth login` stored.

    Args:
        checkpoint: a checkpoint or run folder.
        repo: owner/name, or a name of one's own account; made where it is missing.
        is_private: make it private.
        base: Hub id that adapters are to name instead of a folder of this machine.
        message: of the commit.
        new_card: write one in place of a README.md that lies in the folder and that no push wrote.
        is_dry: list what would be sent, and ask nobody.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: a secret in the files, an adapter on a base that nobody else has, no token, or the Hub refuses.
    """
    folder = find_checkpoint(checkpoint)
    require_hub_id(repo)
    contents = collect_contents(folder, base)
    if is_dry:
        return _describe(folder, repo, _with_card(contents, folder, repo, base, is_new=new_card))
    if name := find_offline():
        raise ValueError(
            f"{name} forbids the network, and a push needs it; unset {name}, or add --dry-run"
        )
    api = _sign_in()
    with _said(f"{repo} was not pushed"):
        repo = _own_name(api, repo)
    contents = _with_card(contents, folder, repo, base, is_new=new_card)
    with _said(f"{repo} was not pushed"):
        url = api.create_repo(repo, private=is_private, exist_ok=True)
        state = bool(api.repo_info(repo).private)
    if is_private and not state:
        raise ValueError(
            f"{url} is there already, and public: nothing was sent. Leave --private out, make it private in its settings on "
            "the Hub, or take another name"
        )
    logger.info("sending {} files to {}", len(contents.files), url)
    with _said(f"{repo} was not pushed"):
        commit = _commit(api, repo, contents, message or MESSAGE.format(folder.name))
    return replace(
        _describe(folder, repo, contents),
        is_private=state,
        url=str(url),
        revision=str(commit.oid),
    )


def _commit(api: "HfApi", repo: str, contents: Contents, message: str) -> Any:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # What an earlier push left there, such as the adapter before the whole model, is not part of this one.
    stale = [
        name for name in api.list_repo_files(repo) if name not in contents.files and _is_ours(name)
    ]
    return api.create_commit(
        repo,
        [
            *(CommitOperationAdd(name, _readable(file)) for name, file in contents.files.items()),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message=message,
    )


def _readable(file: Path | bytes) -> str | bytes:
    return file if isinstance(file, bytes) else str(file)


def _is_ours(name: str) -> bool:
    """Whether a push writes files of this name; a license or a picture on the Hub is somebody's own."""
    own = (BLEND_NAME, ENSEMBLE_NAME, *(each for each in WANTED if each != "LICENSE*"))
    return any(fnmatch(name, each) or fnmatch(name, f"*/{each}") for each in own)


def _with_card(
    contents: Contents, folder: Path, repo: str, base: str | None, *, is_new: bool
) -> Contents:
    """The contents with a card of what was measured, unless somebody, or an export, wrote another one."""
    own, facts = contents.files.get(CARD), read_facts(folder)
    if own is not None and not is_new:
        is_ours = facts is not None and facts.wrote((folder / CARD).read_bytes())
        if not is_ours:
            logger.info(f"{folder / CARD} is sent as it is; --new-card writes a new one")
            return contents
    card = describe_checkpoint(folder, repo, base)
    text = card.text().encode()
    written = {CARD: text, FACTS: write_facts(text, card.record, card.metrics)}
    return Contents(dict(sorted({**contents.files, **written}.items())), contents.left_out)


def _describe(folder: Path, repo: str, contents: Contents) -> Pushed:
    sizes = {name: contents.size_of(name) for name in contents.files}
    return Pushed(folder, repo, sizes, contents.left_out, sum(sizes.values()))


def _sign_in() -> "HfApi":
    from huggingface_hub import HfApi, get_token

    quiet_bars()
    with _said("nothing was sent"):
        token = get_token()
    if token is None:
        raise ValueError(f"nothing was sent: there is no token for the Hub; {TOKEN}")
    return HfApi(token=token)


def _own_name(api: "HfApi", repo: str) -> str:
    return repo if "/" in repo else f"{api.whoami()['name']}/{repo}"


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Let every failure of the client inside the block end in one message."""
    try:
        yield
    # The client raises errors of its own, of its HTTP library, of its uploading threads and of the system.
    except Exception as error:
        if is_about_disk(error):
            raise
        raise ValueError(f"{what}: {explain_hub_error(error)}") from error
