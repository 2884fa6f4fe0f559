"""predict_batches; Predictor: a checkpoint that answers rows; AnyPredictor: the same of one checkpoint or several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import polars as pl

from bert_playground import kernels
from bert_playground.blending.decision import Decision
from bert_playground.data.core.types import Loader
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.chunks import CHUNK_ROWS
from bert_playground.data.templates.row_text import RowText
from bert_playground.forks import claim_process
from bert_playground.memory import fit_cache_limit, return_freed_memory
from bert_playground.mlx_threads import wait_at_exit
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import load_model
from bert_playground.models.ensemble import average_answers, name_together
from bert_playground.models.lora import LoRALinear
from bert_playground.models.masked_lm import MaskedLM
from bert_playground.models.quantization_utils import quantized_layers
from bert_playground.models.tokenwise import cast_embeddings, prepack_weights, settle
from bert_playground.runs import find_checkpoint
from bert_playground.tokens import Tokens

Array = np.ndarray[Any, Any]
# What is trained and asked: model(tokens) gives logits, model.head their loss and what they say.
Model = BertWithHead | MaskedLM
_turn = Lock()  # threads share the native kernels' threads and MLX's cache: one computes at a time


@dataclass(frozen=True)
class Predictions:
    """The answers for a table of N rows, in its own order.

    Attributes:
        scores: what `head.predict` gives: P(class 1) [N], probabilities [N, L], numbers [N] or [N, S], or means and
            standard deviations [N, 2].
        labels: [N] or [N, L] as the model sees them, or None when the table has none.
        loss: mean over the rows, or None without labels.
    """

    scores: Array
    labels: Array | None
    loss: float | None


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Dropout off inside the block, and as it was before afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def predict_batches(
    model: Model, loader: Loader, *, use_compilation: bool = False, as_logits: bool = False
) -> Predictions:
    """Score every row of a loader; the order of its batches does not matter.

    Args:
        model: is left in the mode, training or evaluation, in which it came.
        loader: gives each row once.
        use_compilation: trace each shape once; pays for padded batches on a GPU. Ignored while LoRA adapters are live,
            because they may be merged or changed between calls without the compiler seeing it.
        as_logits: give the head's logits as scores, not its answers.

    Raises:
        ValueError: the loader has no rows.
    """
    claim_process()
    if loader.num_rows == 0:
        raise ValueError("there are no rows to predict")
    answer = _make_answer(model, use_compilation=use_compilation, as_logits=as_logits)
    rows: list[Array] = []
    scores: list[Array] = []
    labels: list[Array] = []
    loss_sum = 0.0
    with evaluation_mode(model):
        for batch in loader:
            with _turn:
                batch_scores, batch_loss = answer(batch.tokens, batch.labels)
                mx.eval(batch_scores, batch_loss)
                fit_cache_limit(least=0)
            rows.append(np.array(batch.rows))
            scores.append(np.array(batch_scores.astype(mx.float32)))
            if batch.labels is not None and batch_loss is not None:
                labels.append(np.array(batch.labels))
                loss_sum += float(np.array(batch_loss)) * len(rows[-1])
    order = np.argsort(np.concatenate(rows), kind="stable")
    return Predictions(
        scores=np.concatenate(scores)[order],
        labels=np.concatenate(labels)[order] if labels else None,
        loss=loss_sum / len(order) if labels else None,
    )


def require_finite(predictions: Predictions, checkpoint: Path) -> Predictions:
    """The same, unless an answer is NaN or infinite.

    Raises:
        ValueError: some are; the message has how many and the first row.
    """
    scores = predictions.scores.reshape(len(predictions.scores), -1)
    wrong = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"the model in {checkpoint} answers {len(wrong)} of {len(scores)} rows with NaN or infinity, first row "
            f"{wrong[0] + 1}: its weights are too large or damaged; take an earlier checkpoint, or try --precision f32"
        )
    return predictions


def check_parts(model: Model, text: RowText, folder: Path) -> None:
    """Refuse a tokenizer or a row length that the encoder has no vectors for.

    Raises:
        ValueError: an id of the tokenizer lies outside the embedding, or rows are longer than the positions.
    """
    size, longest = model.encoder.config.vocab_size, model.encoder.config.max_position_embeddings
    if text.vocab_size > size:
        raise ValueError(
            f"the tokenizer in {folder} has ids up to {text.vocab_size - 1:,}, but the encoder has vectors for {size:,} "
            f"(0 to {size - 1:,}): the two do not belong together; copy the folder again"
        )
    if text.max_length > longest:
        raise ValueError(
            f"pipeline.json in {folder} makes rows of up to {text.max_length:,} tokens, but the encoder has {longest:,} "
            "positions: one of the files was changed; copy the folder again"
        )
    beyond = [end for _, end in text.number_tokens if end > size]
    if beyond:
        raise ValueError(
            f"number_tokens in {folder} end at {beyond[0]:,}, beyond the {size:,} entries"
        )


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """The answers for a table that was scored in parts, one after the other."""
    sizes = [len(part.scores) for part in parts]
    labels = [part.labels for part in parts if part.labels is not None]
    losses = [part.loss for part in parts if part.loss is not None]
    return Predictions(
        np.concatenate([part.scores for part in parts]),
        np.concatenate(labels) if len(labels) == len(parts) else None,
        float(np.average(losses, weights=sizes)) if len(losses) == len(parts) else None,
    )


class AnyPredictor(Protocol):
    """Rows in, answers out: a `Predictor` of one checkpoint, or an `EnsemblePredictor` of several."""

    @property
    def checkpoint(self) -> Path:
        """The folder that it was read from."""

    @property
    def pipeline(self) -> TextPipeline:
        """How rows become text; target, id column and labels."""

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Decision threshold of each label of a multilabel task; None: 0.5."""

    @property
    def decision(self) -> Decision | None:
        """How scores are read as classes, where that was fitted out of fold; None: as usual."""

    def score(
        self, rows: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Predictions:
        """Scores of a table in its order, with labels where the table has the target."""

    def predict(
        self, frame: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Array:
        """The scores alone; the target, where a table has it, is not read."""

    def answers(self, scores: Array) -> pl.DataFrame:
        """Scores in the words and units of the training table, one column for each target."""


@dataclass(frozen=True)
class Predictor:
    """A model together with the pipeline that makes its text: rows in, answers out."""

    model: BertWithHead
    pipeline: TextPipeline
    checkpoint: Path
    batch_size: int = 128

    def __post_init__(self) -> None:
        check_parts(self.model, self.pipeline, self.checkpoint)

    @classmethod
    def load(
        cls, checkpoint: Path | str, *, batch_size: int = 128, precision: str = "auto"
    ) -> "Predictor":
        """Read a checkpoint folder, or the best checkpoint of a run folder.

        Args:
            checkpoint: holds the model and `pipeline.json`.
            batch_size: rows per forward pass.
            precision: of the activations: "f32", "bf16", or "auto" for bf16 where the machine computes it faster; "int8"
                multiplies 8-bit weights and activations in the encoder's layers, with bf16 or f32 between them.

        Raises:
            FileNotFoundError: no checkpoint there, or one that no pipeline was saved with.
            ValueError: int8 without native kernels, or of a quantized checkpoint.
        """
        wait_at_exit()
        claim_process()
        folder = find_checkpoint(checkpoint)
        if kind := name_together(folder):
            raise ValueError(
                f"{folder} is {kind}; use load_predictor, whose answers are theirs together:\n"
                "  from bert_playground.ensemble_predictor import load_predictor\n"
                f"  predictor = load_predictor(Path({str(folder)!r}))"
            )
        if not (folder / "pipeline.json").is_file():
            raise FileNotFoundError(
                f"{folder} holds a model but no pipeline.json, which says how a row becomes text; "
                "give a checkpoint that `bert train` wrote"
            )
        if precision == "int8" and not kernels.can_pack():
            raise ValueError(
                "int8 needs the native CPU kernels (bert info says why they are missing); use f32 or bf16"
            )
        model = load_model(folder)
        if precision == "int8" and quantized_layers(model):
            raise ValueError(f"the weights in {folder} are quantized already; leave out int8")
        model.encoder.dtype = kernels.activation_dtype("auto" if precision == "int8" else precision)
        prepack_weights(
            model.encoder,
            mx.int8 if precision == "int8" else model.encoder.dtype,
            drop_original=True,
        )
        cast_embeddings(model.encoder, model.encoder.dtype)
        pipeline = TextPipeline.load(folder)
        if getattr(model.head, "task", pipeline.task) != pipeline.task:
            raise ValueError(
                f"the head in {folder} answers {model.head.task}, but its pipeline.json asks {pipeline.task}: "
                "config.json was lost or changed; copy the folder again"
            )
        expected, there = model.num_numbers, len(pipeline.numbers)
        if expected != there:
            raise ValueError(
                f"the model in {folder} reads {expected} numeric features, but its pipeline.json has {there}: one "
                "of the files was changed; copy the folder again"
            )
        _warm_up(model)
        return cls(model, pipeline, folder, batch_size)

    def with_weights(self) -> "Predictor":
        """The same with the weights read again beside what is packed of them: to change the model, or to save it."""
        model, dtype = load_model(self.checkpoint), self.model.encoder.dtype
        model.encoder.dtype = dtype
        prepack_weights(model.encoder, dtype)
        return replace(self, model=model)

    def score(
        self,
        rows: pl.DataFrame | Loader,
        *,
        num_variants: int = 1,
        drift: TableDrift | None = None,
    ) -> Predictions:
        """Scores of a table or of any loader in table order, with loss and labels where they are there.

        Cells of a table that are written otherwise than in training, and have one reading, are read by it.

        Args:
            rows: the table, or a loader of it.
            num_variants: how many times each row of a table is answered: as it is, and written in other ways; the mean
                of the answers has no loss. See `encode_variant`.
            drift: counts how the table differs from training; from `pipeline.watch_drift`. None: nobody asks.

        Raises:
            ValueError: nothing of the rows can vary, or the loader has their tokens already.
        """
        claim_process()
        if num_variants < 1:
            raise ValueError(f"num_variants is {num_variants}, expected at least 1")
        if not isinstance(rows, pl.DataFrame):
            if num_variants > 1:
                raise ValueError("the rows of a loader are tokens already; give the table itself")
            return require_finite(predict_batches(self.model, rows), self.checkpoint)
        rows = (drift or self.pipeline.watch_drift()).read(rows)
        answers = [self._score_variant(rows, number) for number in range(num_variants)]
        if num_variants == 1:
            return answers[0]
        arrays, weights = [mx.array(each.scores) for each in answers], [1 / num_variants]
        scores = average_answers(arrays, weights * num_variants, self.model.head.head_type)
        return Predictions(np.array(scores), answers[0].labels, loss=None)

    def _score_variant(self, frame: pl.DataFrame, number: int) -> Predictions:
        """Scores of read rows; tokens of a large table are never held together, except of windows, which need all rows."""
        is_whole = self.pipeline.windows is not None or frame.height <= CHUNK_ROWS
        parts = [frame] if is_whole else frame.iter_slices(CHUNK_ROWS)
        answers = []
        for part in parts:
            loader = self.pipeline.make_loader(part, batch_size=self.batch_size, variant=number)
            if part.height >= 16 * self.batch_size:
                return_freed_memory()  # of their text, before the longest batch
            answers.append(predict_batches(self.model, loader))
        found = answers[0] if is_whole else join_predictions(answers)
        return require_finite(found, self.checkpoint)

    def predict(
        self, frame: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Array:
        """What the head predicts, in table order: see `Predictions.scores`; numbers are standardised."""
        claim_process()  # before Polars is asked for anything
        # Labels that a test table may carry are not looked at, so that they need not be known ones.
        unlabelled = frame.drop(self.pipeline.targets, strict=False)
        return self.score(unlabelled, num_variants=num_variants, drift=drift).scores

    def labels(self, frame: pl.DataFrame) -> pl.Series:
        """Answers as the training table writes them: its labels, or numbers in its units.

        Raises:
            ValueError: a row has several answers; see `answers`.
        """
        return self.pipeline.decode(self.predict(frame))

    def answers(self, scores: Array) -> pl.DataFrame:
        """Scores in the words and units of the training table, one column for each target; see `TextPipeline.answers`."""
        return self.pipeline.answers(scores, self.thresholds)

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Decision threshold of each label of a multilabel head; None: 0.5."""
        return self.model.head.config.thresholds

    @property
    def decision(self) -> Decision | None:
        """None: classes are read from probabilities as usual."""
        return None


def _warm_up(model: BertWithHead) -> None:
    """Answer one token, so that weights are read and packed in this thread, after which any thread may ask."""
    numbers = mx.zeros((1, model.num_numbers)) if model.num_numbers else None
    one = mx.zeros(1, dtype=mx.int32)
    if kernels.is_native():
        tokens = Tokens(one, cu_seqlens=mx.array([0, 1], dtype=mx.int32), numbers=numbers)
    else:
        tokens = Tokens(one[None], mx.ones((1, 1), dtype=mx.bool_), numbers=numbers)
    mx.eval(model(tokens))
    settle(model)


Answer = Callable[[Tokens, mx.array | None], tuple[mx.array, mx.array | None]]


def _make_answer(model: Model, *, use_compilation: bool, as_logits: bool = False) -> Answer:
    def answer(tokens: Tokens, labels: mx.array | None) -> tuple[mx.array, mx.array | None]:
        logits = model(tokens)
        scores = logits if as_logits else model.head.predict(logits)
        return scores, None if labels is None else model.head.loss(logits, labels)

    if not use_compilation or has_adapters(model):
        return answer

    def with_parameters(
        parameters: dict[str, Any], tokens: Tokens, labels: mx.array | None
    ) -> tuple[mx.array, mx.array | None]:
        model.update(parameters)
        return answer(tokens, labels)

    compiled = mx.compile(with_parameters)
    parameters = model.parameters()

    def compiled_answer(
        tokens: Tokens, labels: mx.array | None
    ) -> tuple[mx.array, mx.array | None]:
        try:
            scores, loss = compiled(parameters, tokens, labels)
        finally:
            model.update(parameters)  # tracing left its placeholders in the model
        return scores, loss

    return compiled_answer


def has_adapters(model: nn.Module) -> bool:
    """Whether LoRA layers are live in the model."""
    return any(isinstance(module, LoRALinear) for module in model.modules())
