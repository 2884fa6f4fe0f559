"""write_bundle: findings and versions in one file for a bug report, without paths, names and values of this machine."""

import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bert_playground.doctor.extras import needed_versions
from bert_playground.finding import Finding

# Whose values are an address, a folder or a secret.
PRIVATE = re.compile(
    r"^(AWS|BERT|HF|HUGGING|KAGGLE|MLFLOW|XDG)_|TOKEN|KEY|SECRET|PASSWORD|PROXY", re.I
)
ADDRESS = re.compile(r"(\w+://)[^\s/,;)]+")
HOMES = re.compile(r"/(?:home|Users)/[^/\s,;:)]+")
# The names of folders elsewhere may say whose they are; that of a file says what is wrong.
FOLDERS = re.compile(r"(?<![\w~.$:/])/(?:[^\s/,;:)'\"]+/)*(?P<last>[^\s/,;:)'\"]+)")
FILE = re.compile(r"\.(?:db|dylib|json|py|so|toml|ya?ml)\b")
LEAST = 4  # letters of a value that is looked for; a shorter one says nothing


def write_bundle(path: Path, findings: Sequence[Finding]) -> None:
    """Write a zip file with `doctor.json` and `versions.json`.

    Raises:
        ValueError: its folder does not exist.
    """
    if not path.absolute().parent.is_dir():
        raise ValueError(f"no folder {path.parent} for {path.name}; make it, or name another file")
    parts = {
        "doctor.json": [hide(each, os.environ, Path.home(), Path.cwd()) for each in findings],
        "versions.json": needed_versions(),
    }
    temporary = path.with_name(f"{path.name}.partial")  # the usual way of writing needs MLX
    with zipfile.ZipFile(temporary, "w") as bundle:
        for name, content in parts.items():
            bundle.writestr(name, json.dumps(content, indent=2) + "\n")
    temporary.replace(path)


def hide(
    finding: Finding, environment: Mapping[str, str], home: Path, here: Path
) -> dict[str, str]:
    """A finding with nothing of this machine in it.

    Args:
        finding: what was found.
        environment: variables whose values become their names.
        home: becomes "~".
        here: the working directory, which becomes ".".
    """
    private = {
        value: f"${name}"
        for name, value in environment.items()
        if PRIVATE.search(name) and len(value) >= LEAST
    }
    words = {**private, str(here): ".", str(home): "~"}
    hidden = {}
    for key, text in finding.to_dict().items():
        for word in sorted(words, key=len, reverse=True):
            if word not in ("", "/"):
                text = text.replace(word, words[word])
        text = HOMES.sub("~", ADDRESS.sub(r"\1HOST", text))
        hidden[key] = FOLDERS.sub(_cut_folder, text)
    return hidden


def _cut_folder(found: re.Match[str]) -> str:
    return f"FOLDER/{found['last']}" if FILE.search(found["last"]) else "FOLDER"
