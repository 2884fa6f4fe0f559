"""AdapterSet: several adapters with their heads on one base, each a model of its own name; loaded and unloaded at run time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bert_playground import kernels
from bert_playground.data.pipeline import TextPipeline
from bert_playground.inference import Predictor
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import load_adapter, load_with_adapter
from bert_playground.models.lora import LoRAAdapter
from bert_playground.models.lora.folder import is_adapter_folder
from bert_playground.models.tokenwise import prepack_weights
from bert_playground.runs import find_checkpoint
from bert_playground.serving.parts import take_apart
from bert_playground.serving.served_model import ServedModel

FIRST = "default"  # what `load_with_adapter` calls the adapter that it reads


@dataclass
class AdapterSet:
    """A base with its adapters; all of it belongs to the thread that owns MLX.

    The base is there once. Adapters stay apart from it, so that a swap costs nothing, while `bert predict` merges one
    into the base: answers differ by the rounding of f32, about 1e-6.

    Attributes:
        model: whose adapter is swapped.
        names: of the served models → the adapter's name in the model.
    """

    model: BertWithHead
    names: dict[str, str]

    @classmethod
    def load(
        cls, name: str, folder: Path, precision: str = "auto"
    ) -> tuple["AdapterSet", ServedModel]:
        """Read the first adapter with its base.

        Args:
            name: for clients.
            folder: a checkpoint of `bert train --lora`, or its run.
            precision: see `Predictor.load`; int8 is none, as adapters need the weights themselves.

        Raises:
            FileNotFoundError: no such folder, or its base is not there.
            ValueError: it is no adapter, or does not fit.
        """
        checkpoint = require_adapter(folder)
        model = load_with_adapter(checkpoint)
        dtype = kernels.activation_dtype("auto" if precision == "int8" else precision)
        model.encoder.dtype = dtype
        prepack_weights(model.encoder, dtype)
        served_set = cls(model, {name: FIRST})
        return served_set, served_set.serve(name, checkpoint)

    @property
    def adapter(self) -> LoRAAdapter:
        """Of the model."""
        adapter: LoRAAdapter = self.model.adapter
        return adapter

    def add(self, name: str, folder: Path) -> ServedModel:
        """Read another adapter of the same base.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the name is taken, it is no adapter, or one of another base.
        """
        checkpoint = require_adapter(folder)
        if name in self.names:
            raise ValueError(f"there is an adapter {name!r} already; unload it first")
        load_adapter(self.adapter, checkpoint, name)
        self.names[name] = name
        prepack_weights(self.model.encoder, self.model.encoder.dtype)
        return self.serve(name, checkpoint)

    def remove(self, name: str) -> None:
        """Forget an adapter; the last one stays.

        Raises:
            ValueError: there is no such adapter, or no other.
        """
        if name not in self.names:
            raise ValueError(f"no adapter {name!r} (loaded: {', '.join(self.names)})")
        if len(self.names) == 1:
            raise ValueError(f"{name!r} is the only adapter; load another one first")
        inner = self.names.pop(name)
        if self.adapter.active_adapter == inner:
            self.adapter.set_adapter(next(iter(self.names.values())))
        del self.adapter.adapters[inner]

    def serve(self, name: str, checkpoint: Path) -> ServedModel:
        """The model that an adapter makes of the base, with its own pipeline."""
        pipeline = TextPipeline.load(checkpoint)
        predictor = Predictor(self.model, pipeline, checkpoint)
        return ServedModel(name, take_apart(predictor, self._activation(name)))

    def _activation(self, name: str) -> Callable[[], None]:
        def activate() -> None:
            inner = self.names[name]
            if self.adapter.active_adapter != inner:
                self.adapter.set_adapter(inner)

        return activate


def require_adapter(folder: Path) -> Path:
    """The checkpoint of an adapter that a folder means.

    Raises:
        FileNotFoundError: there is nothing in it.
        ValueError: it holds a whole model, or no pipeline.
    """
    checkpoint = find_checkpoint(folder)
    if not is_adapter_folder(checkpoint):
        raise ValueError(
            f"{folder} holds a whole model, no adapter; adapters come of `bert train --model BASE --lora balanced`"
        )
    if not (checkpoint / "pipeline.json").is_file():
        raise ValueError(
            f"{folder} has no pipeline.json, which says how a row becomes text; give one that `bert train` wrote"
        )
    return checkpoint
