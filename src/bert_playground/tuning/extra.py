"""require_hpo_extra: the library that studies need, or the command that installs it."""

from importlib.util import find_spec

INSTALL = 'uv sync --extra hpo, or pip install "bert-playground[hpo]"'


def require_hpo_extra() -> None:
    """Refuse to tune without the library for it.

    Raises:
        ValueError: it is not installed.
    """
    if find_spec("optuna") is None:
        raise ValueError(f"bert tune needs optuna; install: {INSTALL}")
