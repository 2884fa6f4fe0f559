"""What a run was computed with: versions, device, git commit, seed."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import mlx.core as mx

from bert_playground import kernels

PACKAGES = (
    "bert-playground",
    "bert-playground-kernels",
    "mlx",
    "numpy",
    "polars",
    "tokenizers",
    "scikit-learn",
)


def describe_environment() -> dict[str, Any]:
    """Facts that a figure needs beside it."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(mx.default_device()),
        "computed_by": kernels.describe(),
        "cpu_cores": os.cpu_count(),
        "git_commit": git_commit(),
        "command": sys.argv,
        "versions": dict(package_versions()),
    }


def count_cores() -> int:
    """The cores that this process may use, where the system says so; else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def package_versions() -> Mapping[str, str | None]:
    """Version of each package that shapes the numbers; None: not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return MappingProxyType(found)


@cache
def git_commit() -> str | None:
    """The commit of the checkout that this code runs from, "+changes" when files differed when first asked; None outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
