"""bert info: the machine, MLX's device, the kernels and the versions."""

from typing import Any

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_table

PACKAGES = (
    "bert-playground",
    "bert-playground-kernels",
    "mlx",
    "numpy",
    "polars",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "scikit-learn",
    "mlflow-skinny",
    "kaggle",
)


def info(json: options.Json = False) -> None:
    """Show the machine, MLX's device, the kernels, memory and versions."""
    facts = {"system": _system(), "mlx": _mlx(), "versions": _versions()}
    if json:
        print_json(facts)
        return
    for title, rows in facts.items():
        print_table(title, ("what", "value"), rows.items())


def _system() -> dict[str, Any]:
    import os
    import platform

    from bert_playground.environment import count_cores

    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu_cores": count_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def _mlx() -> dict[str, Any]:
    import mlx.core as mx

    from bert_playground import kernels

    return {
        "device": str(mx.default_device()),
        "computed_by": kernels.describe(),
        "fast_bf16": kernels.has_fast_bf16(),
        "active_memory_mib": round(mx.get_active_memory() / 2**20, 1),
        "peak_memory_mib": round(mx.get_peak_memory() / 2**20, 1),
        **{key: value for key, value in mx.device_info().items() if key != "resource_limit"},
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
