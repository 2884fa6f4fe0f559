"""OnnxModel: a graph that onnxruntime computes: Tokens in, logits and scores out."""

from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import onnxruntime

from bert_playground.data.core.types import Loader
from bert_playground.tokens import Tokens

Array = np.ndarray[Any, Any]


class OnnxAnswers(NamedTuple):
    """What the graph gives for R rows, in the order of the table."""

    logits: Array  # [R, L]
    scores: Array  # [R], [R, L] or [R, 2]
    labels: Array | None  # [R] or [R, L], where the loader has them


class OnnxModel:
    """A session, fed with batches of any layout.

    Args:
        source: a serialised graph, or the path of one.
        num_threads: 0: as many as there are cores.

    Raises:
        ValueError: onnxruntime cannot read it.
    """

    def __init__(self, source: bytes | Path, *, num_threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        options.intra_op_num_threads = num_threads
        given = source if isinstance(source, bytes) else str(source)
        try:
            self.session = onnxruntime.InferenceSession(
                given, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many kinds, all of them bare ones
            what = "the graph" if isinstance(source, bytes) else source
            raise ValueError(
                f"onnxruntime {onnxruntime.__version__} cannot read {what}: {str(error).splitlines()[0]}; export it again"
            ) from error
        self.inputs = {each.name for each in self.session.get_inputs()}

    def run(self, tokens: Tokens) -> tuple[Array, Array]:
        """Logits and scores of a batch."""
        found = self.session.run(["logits", "scores"], self.feed(tokens))
        return found[0], found[1]

    def feed(self, tokens: Tokens) -> dict[str, Array]:
        """The arrays of a batch by the names of the graph's inputs, padded."""
        if tokens.cu_seqlens is None:
            ids = np.array(tokens.input_ids)
            mask = np.ones(ids.shape) if tokens.attention_mask is None else tokens.attention_mask
            types = tokens.token_type_ids
            real = np.array(mask).astype(bool)
            second = np.zeros(ids.shape) if types is None else np.array(types)
        else:
            ends = np.array(tokens.cu_seqlens)
            lengths = np.diff(ends)
            real = np.arange(lengths.max(initial=1))[None] < lengths[:, None]
            ids, second = np.zeros(real.shape), np.zeros(real.shape)
            ids[real] = np.array(tokens.input_ids)
            if tokens.token_type_ids is not None:
                second[real] = np.array(tokens.token_type_ids)
        arrays = {"input_ids": ids, "attention_mask": real, "token_type_ids": second}
        feed = {name: each.astype(np.int64) for name, each in arrays.items() if name in self.inputs}
        if tokens.numbers is not None and "numbers" in self.inputs:
            feed["numbers"] = np.array(tokens.numbers.astype(mx.float32))
        return feed

    def answer(self, loader: Loader) -> OnnxAnswers:
        """All rows of a loader, in the order of its table."""
        rows, logits, scores, labels = [], [], [], []
        for batch in loader:
            found = self.run(batch.tokens)
            rows.append(np.array(batch.rows))
            logits.append(found[0])
            scores.append(found[1])
            if batch.labels is not None:
                labels.append(np.array(batch.labels))
        if not rows:
            raise ValueError("there are no rows to predict")
        order = np.argsort(np.concatenate(rows), kind="stable")
        joined = [np.concatenate(parts)[order] if parts else None for parts in (logits, scores)]
        assert joined[0] is not None
        assert joined[1] is not None
        known = np.concatenate(labels)[order] if labels else None
        return OnnxAnswers(joined[0], joined[1], known)
