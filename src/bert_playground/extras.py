"""require_extra: the libraries of an extra, or the command that installs them."""

from importlib.util import find_spec

MODULES = {
    "hpo": ("optuna",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic", "pandas", "psutil"),
    "ray": ("ray", "pyarrow", "pandas"),
    "serve": ("fastapi", "fastapi_offline", "uvicorn", "prometheus_client"),
}


def missing_modules(extra: str) -> list[str]:
    """What the extra brings and is not installed; nothing is imported."""
    return [name for name in MODULES[extra] if find_spec(name) is None]


def install_command(extra: str) -> str:
    """In a checkout, or of the package."""
    return f'uv sync --extra {extra}, or pip install "bert-playground[{extra}]"'


def require_extra(extra: str, what: str, otherwise: str = "") -> None:
    """Refuse to begin what needs an extra.

    Args:
        extra: a name in MODULES.
        what: needs it, such as "bert serve".
        otherwise: what can be done without it.

    Raises:
        ValueError: something is not installed; all is named.
    """
    if missing := missing_modules(extra):
        said = f"{what} needs {', '.join(missing)}; install: {install_command(extra)}"
        raise ValueError(f"{said}; {otherwise}" if otherwise else said)
