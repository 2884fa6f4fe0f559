"""Credentials: who speaks to Kaggle, by which secret and where it was found; find_credentials: the places in order."""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bert_playground.logger import logger

SETTINGS_PAGE = "https://www.kaggle.com/settings/api"
HIDDEN = "***"
OTHERS = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True)
class Credentials:
    """One way to sign in; what is printed of it never has the secret.

    Attributes:
        kind: "access token", "API key", or "login": that of `kaggle auth login`, whose token the package keeps fresh.
        source: where it was found, in words for messages.
        username: None: Kaggle tells it of a token.
        secret: the token or the key; None for a login.
    """

    kind: Literal["access token", "API key", "login"]
    source: str
    username: str | None
    secret: str | None = field(repr=False)

    def redact(self, text: str) -> str:
        """A message without the secret, should somebody have put it there."""
        return text.replace(self.secret, HIDDEN) if self.secret else text

    def __str__(self) -> str:
        return f"{self.kind} of {self.source}"


def find_credentials(
    environment: Mapping[str, str] | None = None, home: Path | None = None
) -> Credentials:
    """The first that is there of: an access token, an API key, a login; as the `kaggle` package has them.

    Args:
        environment: None: that of this process.
        home: None: that of the user.

    Raises:
        ValueError: there are none, or a file of them is damaged; the message has no part of a secret.
    """
    environment = os.environ if environment is None else environment
    home = Path.home() if home is None else home
    found = _find_token(environment, home) or _find_key(environment, home)
    if found is not None:
        return found
    login = home / ".kaggle" / "credentials.json"
    if login.is_file():
        return Credentials("login", str(login), None, None)
    raise ValueError(
        "no Kaggle credentials: looked for KAGGLE_API_TOKEN, "
        f"{home / '.kaggle/access_token'}, KAGGLE_USERNAME with KAGGLE_KEY, {_key_file(environment, home)} and {login}; "
        f"make a token at {SETTINGS_PAGE} and put it into KAGGLE_API_TOKEN or {home / '.kaggle/access_token'}"
    )


def _find_token(environment: Mapping[str, str], home: Path) -> Credentials | None:
    given = environment.get("KAGGLE_API_TOKEN", "").strip()
    if given:
        # The package takes any path that exists for a file of tokens, and fails where a token is a folder's name.
        if len(given) < 4096 and Path(given).is_file():
            return _read_token(Path(given), f"the file {given} that KAGGLE_API_TOKEN names")
        return Credentials("access token", "KAGGLE_API_TOKEN", None, _one_word(given))
    for name in ("access_token", "access_token.txt"):
        path = home / ".kaggle" / name
        if path.is_file():
            return _read_token(path, str(path))
    return None


def _read_token(path: Path, source: str) -> Credentials:
    token = _read_text(path).strip()
    if not token:
        raise ValueError(f"{path} is empty, expected an access token; make one at {SETTINGS_PAGE}")
    _warn_of_readers(path)
    return Credentials("access token", source, None, _one_word(token, str(path)))


def _one_word(token: str, source: str = "KAGGLE_API_TOKEN") -> str:
    if len(token.split()) != 1 or not token.isascii():
        raise ValueError(
            f"{source} is no access token: expected one word of plain letters and digits; copy it again from {SETTINGS_PAGE}"
        )
    return token


def _find_key(environment: Mapping[str, str], home: Path) -> Credentials | None:
    path = _key_file(environment, home)
    variables = {"username": "KAGGLE_USERNAME", "key": "KAGGLE_KEY"}
    given = {name: environment.get(variable) for name, variable in variables.items()}
    given = {name: value for name, value in given.items() if value}
    in_file: dict[str, Any] = _read_key_file(path) if len(given) < 2 and path.is_file() else {}
    known = {**in_file, **given}
    if not known:
        return None
    lacking = [name for name in variables if not known.get(name)]
    if lacking:
        there = [variables[name] for name in given] or [str(path)]
        raise ValueError(
            f"half of an API key: {' and '.join(there)} gives {', '.join(known)}, but {' and '.join(lacking)} is missing; "
            f"set {' and '.join(variables[name] for name in lacking)} too, or leave both out and put the kaggle.json "
            f"of {SETTINGS_PAGE} at {path}"
        )
    sources = [variables[name] for name in given] + ([str(path)] if in_file else [])
    if in_file:
        _warn_of_readers(path)
    return Credentials("API key", " and ".join(sources), str(known["username"]), str(known["key"]))


def _key_file(environment: Mapping[str, str], home: Path) -> Path:
    folder = environment.get("KAGGLE_CONFIG_DIR")
    if folder:
        return Path(folder) / "kaggle.json"
    if (home / ".kaggle").is_dir():
        return home / ".kaggle" / "kaggle.json"
    config = environment.get("XDG_CONFIG_HOME")
    return (Path(config) if config else home / ".config") / "kaggle" / "kaggle.json"


def _read_key_file(path: Path) -> dict[str, Any]:
    remedy = f"download it again from {SETTINGS_PAGE}"
    try:
        values = json.loads(_read_text(path))
    except ValueError:  # an error of json carries the text, which has the key
        raise ValueError(f"{path} is no valid JSON; {remedy}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no JSON object with username and key; {remedy}")
    wrong = [name for name in ("username", "key") if not isinstance(values.get(name, ""), str)]
    if wrong:
        raise ValueError(f"{path}: {' and '.join(wrong)} should be text; {remedy}")
    return {name: values[name] for name in ("username", "key") if values.get(name)}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:  # such an error carries the bytes
        raise ValueError(f"{path} is not UTF-8 text; download it again") from None


def open_files(
    environment: Mapping[str, str] | None = None, home: Path | None = None
) -> list[Path]:
    """The files of credentials that other users of this machine can read."""
    environment = os.environ if environment is None else environment
    home = Path.home() if home is None else home
    names = ("access_token", "access_token.txt", "credentials.json")
    places = [*(home / ".kaggle" / name for name in names), _key_file(environment, home)]
    return [path for path in places if path.is_file() and _has_readers(path)]


def _has_readers(path: Path) -> bool:
    return os.name == "posix" and bool(path.stat().st_mode & OTHERS)


def _warn_of_readers(path: Path) -> None:
    if _has_readers(path):
        logger.warning(f"{path} can be read by other users of this machine: chmod 600 {path}")
