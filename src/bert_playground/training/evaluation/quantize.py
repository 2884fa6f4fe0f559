"""quantize_checkpoint: a smaller copy of a checkpoint, with what it costs in memory and in score."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bert_playground.data.drift.finding import Finding
from bert_playground.data.reading.table import require_columns
from bert_playground.data.schema.sampling import read_within
from bert_playground.files import replaced_directory
from bert_playground.inference import Predictor
from bert_playground.models.checkpoint import save_model
from bert_playground.models.quantization_utils import (
    LayerChoice,
    choose_bits,
    parameter_bytes,
    quantize_model,
)
from bert_playground.training.evaluation.calibrate import rows_of_run
from bert_playground.training.metrics.scorer import make_scorer


@dataclass(frozen=True)
class Weight:
    """What a model takes and is worth.

    Attributes:
        memory_bytes: of the parameters.
        disk_bytes: of the weights file.
        metrics: on the validation rows; {} when there are none.
    """

    memory_bytes: int
    disk_bytes: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Quantized:
    """What `quantize_checkpoint` did.

    Attributes:
        folder: the new checkpoint.
        source: which rows it was measured on, or why on none.
        rows: how many.
        before: the checkpoint that was read.
        after: the new one.
        choices: the bits of each layer, where they were chosen by measuring.
        drift: how rows that were given differ from those of training.
    """

    folder: Path
    source: str
    rows: int
    before: Weight
    after: Weight
    choices: tuple[LayerChoice, ...]
    drift: tuple[Finding, ...] = ()


def quantize_checkpoint(
    predictor: Predictor,
    output: Path,
    *,
    bits: int = 4,
    group_size: int = 64,
    quantize_embeddings: bool = False,
    mean_bits: float | None = None,
    data: Path | None = None,
) -> Quantized:
    """Quantize a checkpoint into a new folder, and measure both on rows with known answers.

    Live adapters are merged first.

    Args:
        predictor: of the checkpoint.
        output: a folder that does not exist yet.
        bits: 4 or 8.
        group_size: see `quantize_model`.
        quantize_embeddings: the table of words too.
        mean_bits: choose 4 or 8 bits for each layer so that their mean is at most this; see `choose_bits`. None: `bits`
            everywhere.
        data: a table with the target; None: the validation rows of the checkpoint's run.

    Raises:
        ValueError: see `quantize_model`; or bits to choose and no rows to choose by.
        FileExistsError: the output exists.
    """
    if output.exists():
        raise FileExistsError(f"{output} exists already; choose a new folder with --output")
    predictor = predictor.with_weights()
    frame, source, drift = _find_rows(predictor, data, is_needed=mean_bits is not None)
    model = predictor.model
    adapter = getattr(model, "adapter", None)
    if adapter is not None:
        adapter.merge()
    before = _weigh(predictor, predictor.checkpoint, frame)
    choices: list[LayerChoice] = []
    if mean_bits is not None:
        assert frame is not None
        choices = choose_bits(
            model,
            lambda changed: _loss(predictor, frame),
            mean_bits=mean_bits,
            group_size=group_size,
            quantize_embeddings=quantize_embeddings,
        )
    quantize_model(
        model,
        bits=bits,
        group_size=group_size,
        quantize_embeddings=quantize_embeddings,
        layer_bits={choice.name: choice.bits for choice in choices},
    )
    with replaced_directory(output) as temporary:
        save_model(model, temporary, predictor.pipeline.classes)
        predictor.pipeline.save(temporary)
    rows = 0 if frame is None else frame.height
    after = _weigh(predictor, output, frame)
    return Quantized(output, source, rows, before, after, tuple(choices), drift)


def _find_rows(
    predictor: Predictor, data: Path | None, *, is_needed: bool
) -> tuple[pl.DataFrame | None, str, tuple[Finding, ...]]:
    if data is not None:
        frame, message = read_within(data, seed=0)
        require_columns(frame, list(predictor.pipeline.targets), str(data))
        drift = predictor.pipeline.watch_drift()
        frame = drift.read(frame)
        return frame, f"{data}: {message}", tuple(drift.conclude(str(data)))
    try:
        return *rows_of_run(predictor.checkpoint), ()
    except (ValueError, OSError) as error:
        if is_needed:
            raise
        return None, f"not measured: {error}", ()


def _weigh(predictor: Predictor, folder: Path, frame: pl.DataFrame | None) -> Weight:
    files = folder.glob("*.safetensors")
    metrics: dict[str, float] = {}
    if frame is not None:
        metrics = _measure(predictor, frame)
    return Weight(
        parameter_bytes(predictor.model), sum(file.stat().st_size for file in files), metrics
    )


def _measure(predictor: Predictor, frame: pl.DataFrame) -> dict[str, float]:
    answer, pipeline = predictor.score(frame), predictor.pipeline
    assert answer.labels is not None  # the target is there
    assert answer.loss is not None
    scorer = make_scorer(pipeline.task, decode=pipeline.in_units, thresholds=predictor.thresholds)
    return {"loss": answer.loss, **scorer(answer.labels, answer.scores)}


def _loss(predictor: Predictor, frame: pl.DataFrame) -> float:
    loss = predictor.score(frame).loss
    assert loss is not None  # the target is there
    return loss
