"""pack_run: a data set and a notebook that predict on Kaggle without network, for code competitions."""

import json
import re
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bert_playground.documents import read_json
from bert_playground.environment import package_versions
from bert_playground.files import replaced_directory, write_text
from bert_playground.lookup import shorten
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME, find_checkpoint

UNKNOWN_OWNER = "INSERT_YOUR_USERNAME_HERE"
ADAPTER_FILE = "adapter_config.json"
CPU = "cpu"  # the extra that brings MLX
BOOST = ("lightgbm", "catboost")  # estimators, and packages, of the extra boost
# Of a run's folder: answers to training rows, which are the competition's, and what says where it was trained.
LEFT_OUT = (
    "oof.parquet",
    "answers.*",
    "*.log",
    "*.png",
    "metrics.jsonl",
    "environment.json",
    "submission.csv",
)
INSTALL = """\
# Everything comes from the data set: internet is off.
import subprocess
import sys
from pathlib import Path

INPUT = Path("/kaggle/input")
PACKED = next(path.parent for path in INPUT.rglob("checkpoint/{marker}")).parent
subprocess.run(
    [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(PACKED / "wheels"), "bert-playground[{extras}]"],
    check=True,
)
"""
PREDICT = """\
# The table to predict may be another one when the notebook is judged, with the same columns.
from bert_playground.cli.app import app

COMPETITION = next(path for path in [INPUT / "competitions" / "{slug}", INPUT / "{slug}"] if path.is_dir())
sample = COMPETITION / "{sample}"
app(
    ["predict", "--test", str(COMPETITION / "{test}"), "--checkpoint", str(PACKED / "checkpoint"), "--output", "submission.csv"]
    + (["--sample", str(sample)] if sample.is_file() else []),
    standalone_mode=False,
)
"""
README = """\
# Predict on Kaggle without network

1. Wheels for Kaggle's Python belong into `dataset/wheels`: {wheels}
2. `kaggle datasets create -p dataset --dir-mode zip` (later: `kaggle datasets version -p dataset --dir-mode zip -m "new run"`)
3. `kaggle kernels push -p notebook`, and on the notebook's page: Submit to competition. Internet stays off.

`dataset/dataset-metadata.json` and `notebook/kernel-metadata.json` name the owner {owner}; change it where it is not yours.
The checkpoint is {checkpoint}; what it was trained with stands in `dataset/requirements.txt`.
"""
GET_WHEELS = """\
in a Linux with Kaggle's Python (`python --version` in a notebook),

   ```text
   pip download --only-binary=:all: -r dataset/requirements.txt -d dataset/wheels
   ```
"""


def pack_run(
    folder: Path,
    output: Path,
    slug: str,
    *,
    owner: str | None = None,
    wheels: Path | None = None,
    test: str = "test.csv",
    sample: str = "sample_submission.csv",
) -> Path:
    """Write `output` with the folders dataset and notebook, whole or not at all.

    Args:
        folder: a run or a checkpoint.
        output: the folder to make.
        slug: the competition's name on Kaggle.
        owner: the user's name there.
        wheels: a folder of wheels that is copied; None: the README says how to fetch them.
        test: the name of the table to predict, among the competition's files.
        sample: that of the sample submission.

    Returns:
        The checkpoint that was packed.

    Raises:
        FileNotFoundError: there is no checkpoint, or no wheels.
        ValueError: `output` is there, or the checkpoint needs weights that lie elsewhere.
    """
    checkpoint = find_checkpoint(folder)
    _refuse_adapter(checkpoint)
    if output.exists():
        raise ValueError(f"{output} is there already; remove it, or choose another --output")
    found = _find_wheels(wheels)
    name = _as_title(f"bert {slug} {folder.resolve().name}")
    user, extras = owner or UNKNOWN_OWNER, _find_extras(checkpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replaced_directory(output) as temporary:
        data, notebook = temporary / "dataset", temporary / "notebook"
        shutil.copytree(checkpoint, data / "checkpoint", ignore=shutil.ignore_patterns(*LEFT_OUT))
        (data / "wheels").mkdir()
        for wheel in found:
            shutil.copy2(wheel, data / "wheels")
        write_text(data / "requirements.txt", _requirements(extras))
        dataset = {
            "title": name.replace("-", " "),
            "id": f"{user}/{name}",
            "licenses": [{"name": "other"}],
        }
        _write_json(data / "dataset-metadata.json", dataset)
        _write_json(
            notebook / "predict.ipynb", make_notebook(slug, checkpoint, test, sample, extras)
        )
        _write_json(notebook / "kernel-metadata.json", _kernel(user, name, slug))
        said = f"{len(found)} are there." if found else GET_WHEELS
        write_text(
            temporary / "README.md",
            README.format(wheels=said, owner=user, checkpoint=checkpoint.name),
        )
    return checkpoint


def make_notebook(
    slug: str, checkpoint: Path, test: str, sample: str, extras: str = CPU
) -> dict[str, Any]:
    """The notebook as Jupyter's JSON: install from the data set, predict, write submission.csv."""
    names = (BLEND_NAME, ENSEMBLE_NAME, "config.json")
    marker = next(name for name in names if (checkpoint / name).is_file())
    cells = [
        INSTALL.replace("{marker}", marker).replace("{extras}", extras),
        PREDICT.format(slug=slug, test=test, sample=sample),
    ]
    return {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell{number}",
                "metadata": {},
                "outputs": [],
                "source": text.splitlines(keepends=True),
            }
            for number, text in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _refuse_adapter(checkpoint: Path) -> None:
    for file in sorted(checkpoint.rglob(ADAPTER_FILE)):
        base = read_json(file).get("base_model_name_or_path") or "its base"
        raise ValueError(
            f"{file.parent} is an adapter, and the weights of {base} lie elsewhere; merge them first with "
            f"`bert model merge --checkpoint {file.parent} --output merged`, and pack merged"
        )


def _find_wheels(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    found = sorted(folder.glob("*.whl"))
    if not found:
        inside = shorten(sorted(path.name for path in folder.glob("*")), 5) or "nothing"
        raise FileNotFoundError(f"{folder} has no wheels (*.whl), it holds {inside}")
    return found


def _find_extras(checkpoint: Path) -> str:
    """What the models of a checkpoint need installed, as pip writes it."""
    estimators = {read_json(file)["estimator"] for file in checkpoint.rglob(ESTIMATOR_NAME)}
    return f"boost,{CPU}" if estimators & set(BOOST) else CPU


def _requirements(extras: str) -> str:
    pinned = [f"{name}=={found}" for name, found in package_versions().items() if found]
    lines = [line.replace("bert-playground==", f"bert-playground[{extras}]==") for line in pinned]
    more = BOOST if extras != CPU else ()
    for name in ("pydantic", "safetensors", "typer", "rich", "loguru", "jinja2", "scipy", *more):
        try:
            lines.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    kept = [line for line in lines if not line.startswith("bert-playground-kernels")]
    return "".join(f"{line}\n" for line in kept)


def _kernel(user: str, name: str, slug: str) -> dict[str, Any]:
    return {
        "id": f"{user}/{name}-predict",
        "title": f"{name}-predict".replace("-", " "),
        "code_file": "predict.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{user}/{name}"],
        "competition_sources": [slug],
        "kernel_sources": [],
    }


def _as_title(text: str) -> str:
    """Kaggle takes 6 to 50 letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].rstrip("-")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")
