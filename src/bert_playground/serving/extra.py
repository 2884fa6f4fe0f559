"""require_serve_extra: the libraries that a server needs, or the command that installs them."""

from importlib.util import find_spec

NEEDED = ("fastapi", "fastapi_offline", "uvicorn", "prometheus_client")
INSTALL = 'uv sync --extra serve, or pip install "bert-playground[serve]"'


def require_serve_extra() -> None:
    """Refuse to serve without the libraries for it.

    Raises:
        ValueError: some are not installed; all are named.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(f"bert serve needs {', '.join(missing)}; install: {INSTALL}")
