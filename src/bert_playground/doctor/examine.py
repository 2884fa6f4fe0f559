"""examine: all checks in order; one that fails is a finding, and the others go on."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bert_playground.doctor.extras import check_extras, check_packages
from bert_playground.doctor.machine import (
    check_device,
    check_disk,
    check_kernels,
    check_memory,
    check_python,
)
from bert_playground.doctor.outside import (
    check_environment,
    check_kaggle,
    check_mlflow,
    check_network,
)
from bert_playground.finding import BAD, NOTE, Finding

Check = Callable[[], Iterator[Finding]]


def examine(output_dir: Path, *, is_offline: bool = False) -> list[Finding]:
    """Look at everything; nothing is changed.

    Args:
        output_dir: of runs.
        is_offline: no address is asked.
    """
    checks: dict[str, Check] = {
        "python": check_python,
        "packages": check_packages,
        "device": check_device,
        "kernels": check_kernels,
        "memory": check_memory,
        "disk": partial(check_disk, output_dir),
        "extras": check_extras,
        "kaggle": check_kaggle,
        "mlflow": partial(check_mlflow, output_dir),
        "network": partial(check_network, not is_offline),
        "environment": check_environment,
    }
    return [each for what, check in checks.items() for each in _collect(what, check)]


def _collect(what: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except ImportError as error:
        if "mlx" in str(error):
            yield Finding(what, NOTE, "not looked at, as that needs MLX", "install MLX first")
        else:
            yield Finding(what, BAD, str(error), "install it: uv sync")
    # A doctor that stops at the first illness is none.
    except Exception as error:
        yield Finding(what, BAD, f"{type(error).__name__}: {error}", "a defect: please report it")
