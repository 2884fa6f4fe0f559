"""save_pyfunc: a checkpoint in MLflow's model format; log_model: such a folder into the store."""

import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlx.core as mx
import polars as pl

from bert_playground.blend_predictor import PIPELINE
from bert_playground.documents import read_json
from bert_playground.inference import AnyPredictor
from bert_playground.lookup import expand_home
from bert_playground.models.ensemble import read_manifest
from bert_playground.predict_table import answer_rows
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME
from bert_playground.tracking.frames import make_signature, to_pandas
from bert_playground.tracking.store import import_mlflow

CHECKPOINT = "checkpoint"  # the name of the artifact in the model
ADAPTER_FILE = "adapter_config.json"
RESUMING = ("optimizer.safetensors", "state.json")  # files that answer no rows
EXAMPLE_ROWS = 3
EXAMPLE_MOMENTS = 50  # of a table of series, from which windows are cut


def save_pyfunc(predictor: AnyPredictor, folder: Path, rows: pl.DataFrame | None) -> None:
    """Write a new folder that `mlflow.pyfunc.load_model` reads where bert-playground is installed.

    Args:
        predictor: of the checkpoint, from `load_predictor`.
        folder: to make.
        rows: of the table without its target; the first ones are the example. None: neither example nor signature.

    Raises:
        ValueError: the checkpoint is an adapter whose base lies on this machine alone.
    """
    _refuse_adapter(predictor.checkpoint)
    import_mlflow()
    from mlflow.pyfunc import save_model

    num_rows = EXAMPLE_ROWS if predictor.pipeline.windows is None else EXAMPLE_MOMENTS
    example = None if rows is None else rows.head(num_rows)
    signature = None
    if example is not None:
        signature = make_signature(example, answer_rows(predictor, example))
    linked = folder.parent / CHECKPOINT
    try:
        _copy(predictor.checkpoint, linked)
        save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={CHECKPOINT: str(linked)},
            signature=signature,
            input_example=None if example is None else to_pandas(example),
            pip_requirements=requirements(predictor.checkpoint),
        )
    finally:
        shutil.rmtree(linked, ignore_errors=True)


def _copy(checkpoint: Path, target: Path) -> None:
    """What answers rows, as links where the disk has them: of a folder of several models the ones that it names."""
    target.mkdir()
    for part in _parts(checkpoint):
        source, copy = checkpoint / part, target / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns(*RESUMING)
            shutil.copytree(source, copy, ignore=ignored, copy_function=_link)
        else:
            _link(str(source), str(copy))


def _parts(checkpoint: Path) -> list[str]:
    if (checkpoint / BLEND_NAME).is_file():
        members = read_json(checkpoint / BLEND_NAME)["members"]
        return [BLEND_NAME, PIPELINE, *(name for folders in members.values() for name in folders)]
    if (checkpoint / ENSEMBLE_NAME).is_file():
        folders = read_manifest(checkpoint).members
        return [ENSEMBLE_NAME, *(str(folder.relative_to(checkpoint)) for folder in folders)]
    return [path.name for path in checkpoint.iterdir() if path.name not in RESUMING]


def requirements(checkpoint: Path) -> list[str]:
    """What pip installs to answer elsewhere: this package with its extras, in the version that made the checkpoint."""
    extras = ["cuda13" if mx.cuda.is_available() else "cpu"]
    if any(checkpoint.rglob(ESTIMATOR_NAME)):
        extras.append("boost")
    own = f"bert-playground[{','.join(extras)}]"
    return [_pin(own, "bert-playground"), _pin("mlflow", "mlflow-skinny"), _pin("pandas", "pandas")]


def log_model(
    client: Any, experiment_id: str, run_id: str, folder: Path, name: str, step: int
) -> str | None:
    """Store a model as one that MLflow lists beside its run.

    Returns:
        Its id; None: the server is older than MLflow 3, and the model is among the artifacts of the run.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    try:
        created = client.create_logged_model(experiment_id, name=name, source_run_id=run_id)
    except Exception as error:
        if getattr(error, "error_code", "") not in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"):
            raise
        client.log_artifacts(run_id, str(folder), artifact_path=name)
        return None
    described = Model.load(str(folder))
    described.model_id, described.run_id = created.model_id, run_id
    described.save(str(folder / "MLmodel"))
    client.log_model_artifacts(created.model_id, str(folder))
    client.finalize_logged_model(created.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(created.model_id, step)])
    return str(created.model_id)


def _refuse_adapter(checkpoint: Path) -> None:
    for file in sorted(checkpoint.rglob(ADAPTER_FILE)):
        base = str(read_json(file).get("base_model_name_or_path") or "its base")
        if expand_home(base).exists() or base == "its base":
            raise ValueError(
                f"{file.parent} is an adapter, and the weights of {base} lie on this machine; merge them with "
                f"`bert model merge --checkpoint {file.parent} --output merged`"
            )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def _pin(requirement: str, package: str) -> str:
    try:
        return f"{requirement}=={version(package)}"
    except PackageNotFoundError:
        return requirement
