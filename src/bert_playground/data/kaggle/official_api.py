"""make_official_api: the client of the `kaggle` package, imported when it is needed and kept from its side effects."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bert_playground.data.kaggle.credentials import Credentials

ENDPOINT = "KAGGLE_API_ENDPOINT"  # another server, for tests and mirrors
TIMEOUT_SECONDS = 60.0  # of a request; the package waits for ever
INSTALL = "pip install 'bert-playground[kaggle]'"
# What the package reads while it is imported: it would sign in with them, and print requests with their secrets.
READ_AT_IMPORT = (
    "KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "KAGGLE_API_ENVIRONMENT",
    "VERBOSE", "VERBOSE_OUTPUT", "HOME", "USERPROFILE",
)  # fmt: skip


def make_official_api(credentials: Credentials, endpoint: str | None = None) -> Any:
    """A KaggleApi that is signed in; no request is sent but to refresh a login.

    The package's own `authenticate` is not called: it ends the process where there are no credentials, and drops a token that has
    expired without a word.

    Args:
        credentials: who speaks.
        endpoint: such as "http://127.0.0.1:8000"; None: Kaggle.

    Raises:
        ValueError: the package is not installed, or the endpoint is no address that a secret may go to.
    """
    module = _import_quietly()
    api = module.KaggleApi()
    if endpoint is not None:
        _use_endpoint(api, endpoint)
    api.config_values = _config_values(credentials)
    _bound_requests(api)
    if credentials.kind == "login":
        api._authenticate_with_oauth_creds()
    return api


def check_endpoint(endpoint: str) -> str:
    """The address without a slash at its end.

    Raises:
        ValueError: it is none, or credentials would go over the network unencrypted.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{ENDPOINT} is {endpoint!r}, expected an address such as https://host")
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError(
            f"{ENDPOINT} is {endpoint!r}: credentials would be sent unencrypted; use https, or a server on this machine"
        )
    return endpoint.rstrip("/")


@contextmanager
def silenced() -> Iterator[io.StringIO]:
    """Keep what the package prints off stdout, which is for answers; the text can be looked at."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        yield printed


def _import_quietly() -> Any:
    try:
        with _as_nobody(), silenced(), redirect_stderr(io.StringIO()):
            from kaggle.api import kaggle_api_extended
    except ImportError as error:
        missing = str(error.name or error).partition(".")[0]
        raise ValueError(
            f"the kaggle package cannot be used: {missing} is not installed; {INSTALL}"
        ) from error
    except SystemExit as error:
        raise ValueError(f"the kaggle package ended at its import; {INSTALL}") from error
    return kaggle_api_extended


@contextmanager
def _as_nobody() -> Iterator[None]:
    """An environment without credentials: the package signs in while it is imported, over the network."""
    kept = {name: os.environ[name] for name in READ_AT_IMPORT if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="bert-kaggle-") as folder:
        for name in kept:
            del os.environ[name]
        os.environ |= dict.fromkeys(("HOME", "USERPROFILE", "KAGGLE_CONFIG_DIR"), folder)
        try:
            yield
        finally:
            for name in READ_AT_IMPORT:
                os.environ.pop(name, None)
            os.environ.update(kept)


def _use_endpoint(api: Any, endpoint: str) -> None:
    from kagglesdk import kaggle_env

    # The package knows only addresses of its makers: that of a local server is put in their place.
    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.LOCAL] = check_endpoint(endpoint)
    api.args = ["--local"]


def _config_values(credentials: Credentials) -> dict[str, str]:
    name = {"username": credentials.username} if credentials.username else {}
    if credentials.secret is None:
        return {}
    kind = "token" if credentials.kind == "access token" else "key"
    return {**name, kind: credentials.secret}


def _bound_requests(api: Any) -> None:
    """Give every request a time limit."""
    build = api.build_kaggle_client

    def build_with_timeout() -> Any:
        client = build()
        http = client.http_client()
        http._init_session()
        http._session.send = partial(http._session.send, timeout=TIMEOUT_SECONDS)
        return client

    api.build_kaggle_client = build_with_timeout
