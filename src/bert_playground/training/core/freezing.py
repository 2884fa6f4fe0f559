"""freeze_below, freeze_encoder, Unfreezing: which layers are trained, from the start or one more in each epoch."""

from collections.abc import Iterable

import mlx.nn as nn

from bert_playground.logger import logger
from bert_playground.training.core.depth import depth_of, head_depth_of
from bert_playground.training.core.optimizer import Moments, Tree, flatten, unflatten


def freeze_below(model: nn.Module, depth: int) -> None:
    """Freeze all parameters of layers under `depth`; 1: the embeddings."""
    for own_depth, names in trained_layers(model).items():
        if own_depth < depth:
            _set_frozen(model, names, is_frozen=True)


def freeze_encoder(model: nn.Module) -> None:
    """Freeze all but the head."""
    model.encoder.freeze()


def trained_layers(model: nn.Module) -> dict[int, list[str]]:
    """Depth → names of the parameters that are trained, from the embeddings to the head."""
    head_depth, layers = head_depth_of(model), dict[int, list[str]]()
    for name in flatten(model.trainable_parameters()):
        layers.setdefault(depth_of(name, head_depth), []).append(name)
    return {depth: layers[depth] for depth in sorted(layers)}


class Unfreezing:
    """Gradual unfreezing: the head alone in the first epoch, then one more layer below it in each.

    The encoder's last norm counts with the head. What was frozen before, such as the weights under adapters, stays frozen.

    Reference: Howard and Ruder 2018, arXiv 1801.06146.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers = list(reversed(trained_layers(model).values()))  # from the head down
        for names in self.layers[1:]:
            _set_frozen(model, names, is_frozen=True)

    def describe(self, epochs: int) -> str:
        """How many layers will be trained, in one sentence."""
        count, most = min(epochs, len(self.layers)), len(self.layers)
        left = f"; {most - count} of {most} stay frozen, for want of epochs" if count < most else ""
        return (
            f"gradual unfreezing: the head alone in epoch 1, one more layer below it in each{left}"
        )

    def advance(self, epoch: int) -> None:
        """Let the layers be trained that an epoch, from 0, trains."""
        for names in self.layers[: epoch + 1]:
            _set_frozen(self.model, names, is_frozen=False)
        logger.debug(f"{min(epoch + 1, len(self.layers))} of {len(self.layers)} layers are trained")


def complete_moments(moments: Moments, fresh: Moments) -> Moments:
    """The state of an optimizer, with that of `fresh` for parameters that it does not know yet."""
    return {kind: complete(moments.get(kind, {}), tree) for kind, tree in fresh.items()}


def complete(tree: Tree, fresh: Tree) -> Tree:
    """A tree, with the arrays of `fresh` that it lacks."""
    return unflatten(flatten(fresh) | flatten(tree))


def _set_frozen(model: nn.Module, names: Iterable[str], *, is_frozen: bool) -> None:
    modules = dict(model.named_modules())
    for name in names:
        path, _, leaf = name.rpartition(".")
        change = modules[path].freeze if is_frozen else modules[path].unfreeze
        change(recurse=False, keys=[leaf])
