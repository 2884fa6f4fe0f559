"""write_folder, read_folder: a model beside the encoder in files that run no code: JSON, skops, and the libraries' own formats."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.templates.row_text import PIPELINE
from bert_playground.files import replaced_directory
from bert_playground.logger import logger
from bert_playground.runs import ESTIMATOR_NAME
from bert_playground.tabular.estimators import Estimator, find_estimator
from bert_playground.tabular.features import TabularFeatures
from bert_playground.tabular.outputs import Output
from bert_playground.tabular.sklearn_files import load_sklearn, save_sklearn

FORMAT = 1  # of estimator.json
FEATURES = "features.json"
Parts = tuple[str, TextPipeline, TabularFeatures, tuple[Output, ...], dict[str, Any]]


def write_folder(
    folder: Path,
    name: str,
    pipeline: TextPipeline,
    features: TabularFeatures,
    outputs: Sequence[Output],
    own: Mapping[str, Any],
) -> None:
    """Write all of it; the folder appears complete or not at all.

    Args:
        folder: replaced where it exists.
        name: of the estimator.
        pipeline: saved beside it.
        features: what the model sees.
        outputs: with their models.
        own: further values of estimator.json.
    """
    estimator = find_estimator(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replaced_directory(folder) as temporary:
        pipeline.save(temporary)
        (temporary / FEATURES).write_text(json.dumps(features.to_dict()), encoding="utf-8")
        for number, directions in features.directions.items():
            save_sklearn(directions, temporary / _directions(number))
        for number, output in enumerate(outputs):
            if output.model is not None:
                estimator.save(output.model, temporary / _model(number, estimator.suffix))
        files = sorted({path.name for path in temporary.iterdir() if path.is_file()} - {PIPELINE})
        values = {
            "format": FORMAT,
            "estimator": name,
            "task": pipeline.task,
            "versions": {each: _version(each) for each in _packages(estimator.package)},
            **own,
            "outputs": [output.to_dict() for output in outputs],
            "directions": sorted(features.directions),
            "sha256": {file: _digest(temporary / file) for file in files},
        }
        text = json.dumps(values, indent=2) + "\n"
        (temporary / ESTIMATOR_NAME).write_text(text, encoding="utf-8")


def read_folder(folder: Path) -> Parts:
    """Read what `write_folder` wrote.

    Raises:
        FileNotFoundError: there is no such folder, or a file of it is missing.
        ValueError: a file is damaged, holds types that are not trusted, or needs a library that is not installed.
    """
    path = folder / ESTIMATOR_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {ESTIMATOR_NAME}, which names the estimator")
    values = _read_json(path)
    if values.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {values.get('format')!r}, expected {FORMAT}; it was written by another version: fit again"
        )
    try:
        return _read_parts(folder, values)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path} or a file beside it was changed ({type(error).__name__}: {error}); copy the folder again"
        ) from error


def _read_parts(folder: Path, values: dict[str, Any]) -> Parts:
    name = str(values["estimator"])
    estimator = find_estimator(name)
    _check_files(folder, values["sha256"])
    differing = _compare_versions(values["versions"])
    pipeline = TextPipeline.load(folder)
    if pipeline.task != values["task"]:
        raise ValueError(
            f"{folder / ESTIMATOR_NAME} answers {values['task']}, but its pipeline.json asks {pipeline.task}: one of the "
            "files was changed; copy the folder again"
        )
    directions = {
        int(number): _read(folder / _directions(number), load_sklearn, differing)
        for number in values["directions"]
    }
    features = TabularFeatures.from_dict(_read_json(folder / FEATURES), directions)
    outputs = []
    for number, state in enumerate(values["outputs"]):
        output = Output(state["num_classes"], tuple(state["classes"]), tuple(state["constant"]))
        if state["has_model"]:
            path = folder / _model(number, estimator.suffix)
            load = partial(_load_model, estimator, output)
            model = _read(path, load, differing)
            output = Output(output.num_classes, output.classes, output.constant, model)
        outputs.append(output)
    return name, pipeline, features, tuple(outputs), values


def _load_model(estimator: Estimator, output: Output, path: Path) -> Any:
    return estimator.load(path, output.question())


def _read(path: Path, load: Callable[[Path], Any], differing: str) -> Any:
    """Read a model; what is wrong with it is said with its path, and with libraries that differ."""
    try:
        return load(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}{differing}") from error


def _check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Check that the files are there and as they were written."""
    missing = [name for name in digests if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; copy the folder again")
    damaged = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    if damaged:
        raise ValueError(
            f"{', '.join(damaged)} in {folder} is not what was saved there: damaged or changed; copy the folder again"
        )


def _compare_versions(saved: Mapping[str, str]) -> str:
    """What the error of an unreadable model says of libraries that differ; "" where none does."""
    now = {name: _version(name) for name in saved}
    differing = [
        f"{name} {then}, here is {now[name]}" for name, then in saved.items() if now[name] != then
    ]
    if not differing:
        return ""
    said = f"it was saved with {'; '.join(differing)}"
    logger.debug(said)
    return f" ({said}: install that version, or fit again)"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _packages(package: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(("bert-playground", "scikit-learn", "skops", package)))


def _directions(number: int) -> str:
    return f"directions_{number}.skops"


def _model(number: int, suffix: str) -> str:
    return f"model_{number}{suffix}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise ValueError(f"{path} is not valid JSON ({error}); copy the folder again") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, expected a JSON object")
    return values
