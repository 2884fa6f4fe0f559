"""compare_answers: onnxruntime beside the model on rows of every length; a graph that differs is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.data.pipeline import TextPipeline
from bert_playground.export.onnx.heads import expected_logits
from bert_playground.export.onnx.session import OnnxModel
from bert_playground.inference import evaluation_mode
from bert_playground.models.bert.layers.banded import block_size
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.tokens import Tokens

LARGEST_DIFFERENCE = 1e-4  # of f32 logits
NUM_ROWS = 48  # real ones whose logits are compared
BATCH = 16
MOST_TOKENS = 1024  # of the longest row: attention of 8192 tokens would take gigabytes


@dataclass(frozen=True)
class Case:
    """Rows of one kind, and how far the graph is from the model on them.

    Attributes:
        name: what kind.
        num_rows: how many.
        num_tokens: of the longest.
        logits: the largest difference.
        scores: the largest difference of what is answered.
    """

    name: str
    num_rows: int
    num_tokens: int
    logits: float
    scores: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def compare_answers(
    model: BertWithHead, graph: OnnxModel, pipeline: TextPipeline | None, rows: pl.DataFrame | None
) -> tuple[Case, ...]:
    """Ask both about real rows as they are, and about rows of one token, short, padded, beyond the window and long.

    Args:
        model: in f32.
        graph: what was made of it.
        pipeline: makes tokens of the rows; None: ids are made up.
        rows: a table like the training table; None: ids are made up.
    """
    ids, numbers, seconds = _make_rows(model, pipeline, rows)
    found = []
    with evaluation_mode(model):
        for name, batches in _make_cases(model, ids, seconds).items():
            worst, count, longest = [0.0, 0.0], 0, 0
            for chosen, lengths in batches:
                given = None if numbers is None else numbers[[i for i, _, _ in chosen]]
                tokens = _pad(model, [(each, second) for _, each, second in chosen], lengths, given)
                worst = [
                    max(pair) for pair in zip(worst, _differ(model, graph, tokens), strict=True)
                ]
                count, longest = count + len(chosen), max(longest, *lengths)
            found.append(Case(name, count, longest, *worst))
    return tuple(found)


def compare_scores(name: str, ours: np.ndarray, alone: np.ndarray) -> Case:
    """How far what predict.py answers of real rows is from a model beside the encoder, in its scores."""
    difference = float(np.abs(ours - alone).max()) if ours.shape == alone.shape else float("inf")
    return Case(f"real rows, {name}", len(ours), 0, difference, difference)


def refuse_difference(cases: Sequence[Case], limit: float = LARGEST_DIFFERENCE) -> None:
    """Refuse a graph whose logits are not the model's.

    Raises:
        ValueError: says on which rows.
    """
    wrong = [case for case in cases if not case.logits <= limit]
    if wrong:
        listed = ", ".join(f"{case.name} ({case.logits:.2g})" for case in wrong)
        raise ValueError(
            f"the graph does not answer as the model does: its logits differ by more than {limit:g} on rows of the kind "
            f"{listed}; nothing was written. Please report the checkpoint's config.json"
        )


def refuse_other_labels(ours: pl.DataFrame, theirs: pl.DataFrame, margins: np.ndarray) -> None:
    """Refuse a graph that gives rows other labels.

    Args:
        ours: the model's answers.
        theirs: the graph's.
        margins: [R] how far the scores of a row are from another label.

    Raises:
        ValueError: says how many.
    """
    differs = (ours.to_numpy() != theirs.to_numpy()).any(axis=1) & (margins > LARGEST_DIFFERENCE)
    if differs.any():
        raise ValueError(
            f"the graph gives {int(differs.sum())} of {len(differs)} rows another label than the model does; nothing was "
            "written. Please report the checkpoint's config.json"
        )


def label_margins(scores: np.ndarray, thresholds: Sequence[float] | None, task: str) -> np.ndarray:
    """[R] how far each row is from another label: ties may fall either way."""
    scores = np.asarray(scores, dtype=np.float64)
    if task == "multiclass":
        ordered = np.sort(scores, axis=1)
        return np.asarray(ordered[:, -1] - ordered[:, -2])
    if task == "ordinal":
        return np.asarray(np.abs(np.cumsum(scores, axis=1) - 0.5).min(axis=1))
    limits = np.asarray(0.5 if thresholds is None else thresholds)
    return np.asarray(np.abs(scores - limits).reshape(len(scores), -1).min(axis=1))


Row = tuple[int, np.ndarray, int]  # its number, its ids, where its second text begins
Batch = tuple[list[Row], list[int]]  # rows, and the lengths that they are cut to


def _make_rows(
    model: BertWithHead, pipeline: TextPipeline | None, rows: pl.DataFrame | None
) -> tuple[list[np.ndarray], np.ndarray | None, np.ndarray]:
    if pipeline is not None and rows is not None:
        table = pipeline.tokenize(rows.drop(pipeline.targets, strict=False))
        seconds = table.lengths if table.second is None else table.second
        return table.rows(), table.numbers, np.asarray(seconds)
    generator = np.random.default_rng(0)
    size, longest = model.encoder.config.vocab_size, min(40, model.encoder.max_length)
    ids = [generator.integers(0, size, length) for length in range(1, longest + 1)]
    numbers = generator.random((len(ids), model.num_numbers)).astype(np.float32)
    if model.num_numbers:
        numbers[::5, 0] = np.nan
    seconds = np.array([len(each) // 2 for each in ids])
    return ids, numbers if model.num_numbers else None, seconds


def _make_cases(
    model: BertWithHead, ids: list[np.ndarray], seconds: np.ndarray
) -> dict[str, list[Batch]]:
    """Name → batches."""
    real = [(i, each, int(seconds[i])) for i, each in enumerate(ids)]
    windows = [each for each in getattr(model.encoder.config, "half_windows", ()) if each]
    most = min(model.encoder.max_length, MOST_TOKENS)
    beyond = min(most, 3 * block_size(max(windows, default=16)) + 9)
    first = real[:4]
    batches = [real[start : start + BATCH] for start in range(0, len(real), BATCH)]
    return {
        "real rows": [(batch, [len(each) for _, each, _ in batch]) for batch in batches],
        "one token": [(first, [1] * len(first))],
        "short": [(first, [min(3, len(each)) for _, each, _ in first])],
        "padded": [(first, [len(each) for _, each, _ in first[:1]] + [2] * (len(first) - 1))],
        "beyond the window": [
            (_stretch(real, first, beyond), [beyond, 5, beyond - 1, 1][: len(first)])
        ],
        "longest": [(_stretch(real, first[:1], most), [most])],
    }


def _stretch(real: list[Row], chosen: list[Row], length: int) -> list[Row]:
    """The chosen rows, followed by the ids of other rows until they are so long."""
    flat = np.concatenate([each for _, each, _ in real])
    flat = np.tile(flat, length // len(flat) + 1)
    return [(i, np.concatenate([each, flat])[:length], second) for i, each, second in chosen]


def _pad(
    model: BertWithHead,
    rows: list[tuple[np.ndarray, int]],
    lengths: list[int],
    numbers: np.ndarray | None,
) -> Tokens:
    kept = [min(length, len(ids)) for (ids, _), length in zip(rows, lengths, strict=True)]
    places = np.arange(max(kept))[None]
    padded = np.zeros((len(rows), max(kept)), np.int32)
    for place, ((ids, _), length) in enumerate(zip(rows, kept, strict=True)):
        padded[place, :length] = ids[:length]
    mask = places < np.array(kept)[:, None]
    types = (places >= np.array([second for _, second in rows])[:, None]) & mask
    has_types = getattr(model.encoder.config, "type_vocab_size", 1) > 1
    return Tokens(
        mx.array(padded),
        mx.array(mask),
        token_type_ids=mx.array(types.astype(np.int32)) if has_types else None,
        numbers=None if numbers is None else mx.array(numbers),
    )


def _differ(model: BertWithHead, graph: OnnxModel, tokens: Tokens) -> Iterator[float]:
    logits = model(tokens)
    scores = np.array(model.head.predict(logits))
    ours = (expected_logits(model.head, np.array(logits)), scores)
    for one, other in zip(ours, graph.run(tokens), strict=True):
        yield float(np.abs(one - other).max()) if one.shape == other.shape else float("inf")
