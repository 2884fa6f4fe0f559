"""Teaching: what a student is to answer, and the vectors it is to have, of each training row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.compression.answers import to_logits
from bert_playground.data.loaders import MLXLoader
from bert_playground.data.reading.table import as_text, read_table
from bert_playground.data.targets.align import align_scores, standardise
from bert_playground.data.targets.fit import find_units, name_answers
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.inference import AnyPredictor, Predictor, evaluation_mode
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.heads.pooling import pool_mean
from bert_playground.run_record import find_record
from bert_playground.runs import RunDir

Array = np.ndarray[Any, Any]
MOST_BYTES = 2**30  # of the vectors of all rows
BLEND = "blend"  # its columns in oof.parquet


@dataclass(frozen=True)
class Teaching:
    """What is known of each of R training rows.

    Attributes:
        logits: [R] or [R, O], what the student's head is to give.
        vectors: [R, W, H] in f16, the mean over the tokens of what a layer of the full encoder puts out.
        watched: [W] which layers these are, ascending; the last one always, unless no vectors are taught.
        source: whose answers the logits are.
    """

    logits: Array
    vectors: Array
    watched: tuple[int, ...]
    source: str

    @classmethod
    def without_vectors(cls, logits: Array, source: str) -> Self:
        """Of answers alone."""
        return cls(logits, np.zeros((len(logits), 0, 0), np.float16), (), source)


def ask_full_model(model: BertWithHead, loader: MLXLoader, source: str) -> Teaching:
    """Answers and vectors of the full model, in table order."""
    num_layers, size = model.encoder.config.num_hidden_layers, model.encoder.hidden_size
    count = max(1, min(num_layers, MOST_BYTES // max(1, 2 * size * loader.num_rows)))
    watched = tuple(
        sorted({round(float(place)) for place in np.linspace(num_layers - 1, 0, count)})
    )
    if count == 1:
        watched = (num_layers - 1,)
    logits: list[Array] = []
    vectors: list[Array] = []
    rows: list[Array] = []
    with evaluation_mode(model):
        for batch in loader:
            hidden, outputs = encode_watched(model, batch.tokens)
            answer = model.head(hidden, model.left_to_head(batch.tokens))
            pooled = mx.stack(
                [pool_mean(outputs[layer], batch.tokens) for layer in watched], axis=1
            )
            mx.eval(answer, pooled)
            logits.append(np.array(answer.astype(mx.float32)))
            vectors.append(np.array(pooled.astype(mx.float16)))
            rows.append(np.array(batch.rows))
    order = np.argsort(np.concatenate(rows), kind="stable")
    return Teaching(np.concatenate(logits)[order], np.concatenate(vectors)[order], watched, source)


def encode_watched(model: BertWithHead, tokens: Any) -> tuple[mx.array, list[mx.array]]:
    """Hidden states of the encoder, and what each of its layers puts out."""
    outputs: list[mx.array] = []
    model.encoder.watch_layer = outputs.append
    try:
        return model.encoder.encode(tokens), outputs
    finally:
        model.encoder.watch_layer = None


def load_other_teacher(folder: Path, full: Predictor) -> AnyPredictor:
    """Another model, an ensemble or the blend of a run over folds.

    Raises:
        ValueError: it answers another question than the full model.
    """
    teacher = load_predictor(folder)
    if teacher.pipeline.targets != full.pipeline.targets:
        raise ValueError(
            f"{folder} answers {', '.join(teacher.pipeline.targets)}, but {full.checkpoint} answers "
            f"{', '.join(full.pipeline.targets)}; a teacher answers the same question"
        )
    return teacher


def ask_other_teacher(
    teacher: AnyPredictor, full: Predictor, train: Path, rows: pl.DataFrame, noised: pl.DataFrame
) -> tuple[Array, str]:
    """What another teacher answers, as logits of the full model's head, and where the answers are from.

    Of a run over folds of the same table the answers out of fold are taken: on rows that its models have learned from
    they are the labels over again.

    Args:
        teacher: as `load_other_teacher` gives it.
        full: the model whose head the students have.
        train: the training table.
        rows: of it, that students learn from.
        noised: rows that are in no table; their logits follow those of `rows`.

    Raises:
        ValueError: its answers cannot be those of this head.
    """
    found = _read_out_of_fold(teacher, train, rows)
    if found is not None:
        scores, source = found, f"{teacher.checkpoint}, out of fold"
    else:
        scores = teacher.predict(rows)
        source = f"{teacher.checkpoint}, on rows that it may have learned from"
    if noised.height:
        scores = np.concatenate([scores, teacher.predict(noised)])
        source += f", and on {noised.height} rows with swap noise"
    scores = align_scores(scores, teacher.pipeline.labels, full.pipeline.labels)
    return to_logits(full.model.head, scores), source


def _read_out_of_fold(teacher: AnyPredictor, train: Path, rows: pl.DataFrame) -> Array | None:
    """The blend's answers out of fold to these rows, in the teacher's form; None: it has none for all of them."""
    run = RunDir.of_checkpoint(teacher.checkpoint)
    record = find_record(run.best) if run.out_of_fold.is_file() else None
    table = None if record is None else record.setting("data.train")
    if table is None or Path(table).resolve() != train.resolve():
        return None
    answers = pl.read_parquet(run.out_of_fold)
    labels = teacher.pipeline.labels
    names = [BLEND] if BLEND in answers.columns else [f"{BLEND}:{n}" for n in name_answers(labels)]
    if not {*names, "row"} <= set(answers.columns):
        return None
    means = answers.group_by("row").agg(pl.col(names).mean())
    frame = (
        as_text(read_table(train)).with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    )
    shared = [name for name in rows.columns if name in frame.columns]
    keyed = frame.select(pl.col("row"), frame.select(shared).hash_rows().alias("key"))
    joined = keyed.join(means.with_columns(pl.col("row").cast(pl.Int64)), on="row", how="left")
    of_key = joined.group_by("key").agg(pl.col(names).mean())
    asked = pl.DataFrame({"key": rows.select(shared).hash_rows()})
    found = asked.join(of_key, on="key", how="left", maintain_order="left").select(names)
    if found.null_count().sum_horizontal().item():
        return None
    scores = found.to_numpy().astype(np.float64)
    scores = scores[:, 0] if scores.shape[1] == 1 else scores
    if not isinstance(labels, LabelEncoder | HorizonEncoder) or find_units(labels) is None:
        return scores
    return standardise(scores, labels)
