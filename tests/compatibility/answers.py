"""What the code at hand makes of the files of an earlier commit; prints one JSON document. Run in a copy of the fixture."""

import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.ensemble_predictor import load_predictor

CHECKPOINTS = ("run", "adapter", "ensemble", "regression", "ordinal", "multilabel")


def describe_computer() -> dict[str, str]:
    """What the last bits depend on, besides the kernels: MLX, the processor's family, and the C library's functions."""
    return {
        "mlx": version("mlx"),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
    }


def invoke(*arguments: str) -> None:
    """Run a command of bert."""
    done = CliRunner().invoke(app, arguments)
    if done.exit_code:
        raise RuntimeError(f"bert {' '.join(arguments)}: {done.output}") from done.exception


def hash_weights(folder: Path) -> str:
    """SHA-256 of the one weight file of a checkpoint."""
    (weights,) = folder.glob("*model.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def describe_run(run: Path) -> dict[str, Any]:
    """Hashes of the last weights, and the losses of each evaluation."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    losses = [line["val_loss"] for line in lines if line["kind"] == "evaluation"]
    folders = sorted((run / "checkpoints").glob("[bf]*"))
    return {"losses": losses, "weights": {folder.name: hash_weights(folder) for folder in folders}}


def predict(checkpoint: str) -> dict[str, Any]:
    """Scores of the test rows, and the submission as text."""
    invoke("predict", "--test", "table/test.csv", "--checkpoint", checkpoint)
    rows = pl.read_csv("table/test.csv", infer_schema=False)
    return {
        "scores": load_predictor(Path(checkpoint)).predict(rows).tolist(),
        "submission": Path("submission.csv").read_text(),
    }


def main() -> None:
    """Resume, train from the pretrained folder, predict by every checkpoint."""
    invoke("train", "--resume", "run")
    invoke("train", "--config", "adapter.yaml", "--output", "out")
    (adapted,) = Path("out").glob("run_*")
    found = {
        "runs": {"resumed": describe_run(Path("run")), "adapted": describe_run(adapted)},
        "predictions": {checkpoint: predict(checkpoint) for checkpoint in CHECKPOINTS},
    }
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
