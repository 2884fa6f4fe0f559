"""DivergenceError: a loss, gradient or weight that is not finite; find_divergence: where it begins, and with which rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground.data.core.types import Batch
from bert_playground.inference import Model
from bert_playground.lookup import shorten
from bert_playground.training.core.optimizer import Tree, flatten
from bert_playground.training.core.resume import random_key, set_random_key

MOST_IN_A_ROW = 10  # updates that are left out before a run is given up
IN_SUM = "the norm of the gradients"  # in no part by itself
MOST_ROWS = 5  # that a message shows
MOST_LETTERS = 60  # of the text of each


class DivergenceError(ValueError):
    """Training cannot go on: a loss, a gradient or a weight is not finite."""


class Divergence(NamedTuple):
    """Where numbers stop being finite.

    Attributes:
        part: the first of them in the order of computation, in words.
        batch: the batch.
        rows: positions in the batch of the rows that it comes from; all of them where it is no single row's doing.
    """

    part: str
    batch: Batch
    rows: Sequence[int]


class RowNames:
    """How a message names the rows of a batch.

    Attributes:
        read: token ids → their text; None: rows are named by their numbers alone.
        ids: the name of the id column and its values by row number; None: there are none.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.read: Callable[[list[int]], str] | None = None
        self.ids: tuple[str, Sequence[Any]] | None = None

    def describe(self, divergence: Divergence) -> str:
        """The rows, each with its number, its id, and the beginning of the text that the model read."""
        batch = divergence.batch
        named = [self._describe_row(batch, row) for row in divergence.rows]
        whole = len(named) == batch.tokens.num_rows
        return f"{'all rows' if whole else 'rows'} of the batch: {shorten(named, MOST_ROWS)}"

    def _describe_row(self, batch: Batch, row: int) -> str:
        words = []
        if (
            batch.rows.shape[0] == batch.tokens.num_rows
        ):  # in pretraining they are numbers of tokens
            number = int(np.array(batch.rows)[row])
            words.append(f"training row {number}")
            if self.ids is not None:
                words.append(f"({self.ids[0]} {self.ids[1][number]})")
        if self.read is not None:
            text = " ".join(self.read(_ids_of_row(batch, row)).split())
            is_long = len(text) > MOST_LETTERS
            words.append(f'"{text[:MOST_LETTERS]}{"…" if is_long else ""}"')
        return " ".join(words) or f"number {row}"


def find_divergence(model: Model, batches: Sequence[Batch], key: mx.array) -> Divergence:
    """Compute a step once more, part by part, until something is not finite.

    Args:
        model: with the weights from before the step.
        batches: of the step.
        key: the random state from before the step, so that dropout is the same.
    """
    if (name := find_nonfinite(model.parameters())) is not None:
        return _whole(f"the weight {name}", batches[0])
    after = random_key()
    set_random_key(key)
    try:
        for batch in batches:
            if (found := _find_in_batch(model, batch)) is not None:
                return found
        return _whole(IN_SUM, batches[0])
    finally:
        set_random_key(after)


def find_nonfinite(tree: Tree) -> str | None:
    """The dotted name of the first array of a tree with a value that is not finite; None: there is none."""
    arrays = {name: array for name, array in flatten(tree).items() if _has_fractions(array)}
    are_finite = [mx.all(mx.isfinite(array)) for array in arrays.values()]
    mx.eval(are_finite)
    return next((name for name, good in zip(arrays, are_finite, strict=True) if not good), None)


def _find_in_batch(model: Model, batch: Batch) -> Divergence | None:
    labels = batch.labels
    assert labels is not None
    if bad := _nonfinite_rows(labels):
        return Divergence("the labels", batch, bad)
    key = random_key()
    with _recorded(model) as outputs:
        logits = model(batch.tokens)
    part = next((name for name, is_finite in outputs if not is_finite), None)
    if part is not None:
        return Divergence(f"the output of {part}", batch, _rows_of(batch, _nonfinite_rows(logits)))
    if not mx.isfinite(model.head.loss(logits, labels)):
        alone = [
            row
            for row in range(labels.shape[0])
            if not mx.isfinite(model.head.loss(logits[row : row + 1], labels[row : row + 1]))
        ]
        return Divergence("the loss", batch, _rows_of(batch, alone))
    set_random_key(key)
    gradients = _gradients(model, batch)
    # Backwards: what is not finite spoils the gradients of all layers before it.
    names = [name for name, each in gradients.items() if not mx.all(mx.isfinite(each))]
    return _whole(f"the gradient of {names[-1]}", batch) if names else None


def _gradients(model: Model, batch: Batch) -> dict[str, mx.array]:
    parameters = model.trainable_parameters()
    labels = batch.labels
    assert labels is not None

    def loss_of(parameters: Tree) -> mx.array:
        model.update(parameters)
        loss: mx.array = model.head.loss(model(batch.tokens), labels)
        return loss

    gradients = mx.grad(loss_of)(parameters)
    mx.eval(gradients)
    model.update(parameters)
    return flatten(gradients)


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[tuple[str, mx.array]]]:
    """Inside the block: the name of each module that was called, in order, and whether its output was finite."""
    names = {id(module): name or "the model" for name, module in model.named_modules()}
    found: list[tuple[str, mx.array]] = []

    def watch(call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(module: nn.Module, *inputs: Any, **options: Any) -> Any:
            output = call(module, *inputs, **options)
            if isinstance(output, mx.array) and _has_fractions(output):
                name = names.get(id(module), type(module).__name__)
                found.append((name, mx.all(mx.isfinite(output))))
            return output

        return watched

    classes = {type(module) for module in model.modules()}
    own = {each: each.__dict__.get("__call__") for each in classes}
    try:
        for each in classes:
            each.__call__ = watch(each.__call__)
        yield found
    finally:
        for each, call in own.items():
            if call is None:
                del each.__call__
            else:
                each.__call__ = call


def _ids_of_row(batch: Batch, row: int) -> list[int]:
    tokens = batch.tokens
    ids = np.array(tokens.input_ids)
    if tokens.cu_seqlens is not None:
        starts = np.array(tokens.cu_seqlens)
        return [int(number) for number in ids[starts[row] : starts[row + 1]]]
    if tokens.attention_mask is not None:
        ids = np.where(np.array(tokens.attention_mask), ids, -1)
    return [int(number) for number in ids[row] if number >= 0]


def _nonfinite_rows(array: mx.array) -> list[int]:
    if not _has_fractions(array):
        return []
    is_good = np.array(mx.isfinite(array)).reshape(array.shape[0], -1).all(axis=1)
    return [int(row) for row in np.flatnonzero(~is_good)]


def _rows_of(batch: Batch, found: Sequence[int]) -> Sequence[int]:
    """The rows that were found; all of them where none was, or where labels are not those of rows."""
    num_rows = batch.tokens.num_rows
    assert batch.labels is not None
    return found if found and batch.labels.shape[0] == num_rows else range(num_rows)


def _whole(part: str, batch: Batch) -> Divergence:
    return Divergence(part, batch, range(batch.tokens.num_rows))


def _has_fractions(array: mx.array) -> bool:
    return bool(mx.issubdtype(array.dtype, mx.floating))
