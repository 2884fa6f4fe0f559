"""save_model, load_model: a self-describing folder."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

from bert_playground.documents import read_json
from bert_playground.files import replaced_directory, save_arrays, write_text
from bert_playground.lookup import look_up
from bert_playground.models.bert.names import Weights, restore
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead, EncoderFamily
from bert_playground.models.heads import HeadConfig
from bert_playground.models.hub_files import CONFIG, WEIGHTS
from bert_playground.models.huggingface import Pretrained, load_with_head, read_pretrained
from bert_playground.models.lora import LoRAAdapter, merged_parameters
from bert_playground.models.lora.folder import (
    ADAPTER_WRITERS,
    is_adapter_folder,
    is_outside,
    saved_apart,
)
from bert_playground.models.lora.loading import load_adapted
from bert_playground.models.lora.loading import load_adapter as read_into
from bert_playground.models.quantization_utils import describe_quantization, quantized_layers
from bert_playground.models.tokenwise import require_weights

TOKENIZER = "tokenizer"  # the folder of the tokenizer in a checkpoint of ours
# The heads whose answers transformers gives too, in the words of its problem_type. Of a binary head it has two logits,
# whose softmax is the sigmoid of our one.
SHARED_HEADS = ("binary", "multiclass", "multilabel", "regression", "timeseries")


def save_model(
    model: BertWithHead, directory: str | Path, labels: Sequence[Any] | None = None
) -> None:
    """Write `config.json` and `model.safetensors` so that transformers, and `load_model`, read the folder.

    Adapters are saved apart, as PEFT does, where their base is a checkpoint that can be named; where it started from
    random weights they are merged into them. A new folder appears complete or not at all; in a folder that exists, each
    file is replaced in one move.

    Args:
        model: what to save.
        directory: the folder.
        labels: the names of the classes in the order of their numbers; None: LABEL_0 and so on.

    Raises:
        ValueError: the model is a predictor's and kept its weights packed only; see `Predictor.with_weights`.
    """
    require_weights(model)
    directory = Path(directory)
    if directory.is_dir():
        _write_into(directory, model, labels)
    else:
        with replaced_directory(directory) as temporary:
            _write_into(temporary, model, labels)


def _write_into(directory: Path, model: BertWithHead, labels: Sequence[Any] | None) -> None:
    adapter = saved_apart(model)
    if adapter is None:
        save_arrays(directory / WEIGHTS, hub_weights(model), {"format": "pt"})
    else:
        save_adapter(adapter, directory)
    write_text(directory / CONFIG, json.dumps(hub_config(model, labels), indent=2) + "\n")


def save_adapter(
    adapter: LoRAAdapter, directory: str | Path, name: str | None = None, *, layout: str = "peft"
) -> None:
    """Write one adapter with its head, in PEFT's format or mlx-lm's.

    Args:
        adapter: whose.
        directory: the folder, made if need be; files of the same names are replaced.
        name: which of its adapters; None: the active one.
        layout: "peft" or "mlx-lm".

    Raises:
        ValueError: an unknown name or layout, or what mlx-lm's format cannot say.
    """
    write = look_up(ADAPTER_WRITERS, layout, "adapter layout")
    directory, name_before = Path(directory), str(adapter.active_adapter)
    directory.mkdir(parents=True, exist_ok=True)
    adapter.set_adapter(name or name_before)
    try:
        model, head = adapter.model, Weights()
        if isinstance(model, BertWithHead):
            head = {n: w for n, w in hub_weights(model).items() if is_outside(adapter, n)}
        is_shared = isinstance(model, BertWithHead) and not beyond_transformers(model)
        write(directory, adapter, str(adapter.active_adapter), head, is_shared=is_shared)
    finally:
        adapter.set_adapter(name_before)


def load_adapter(adapter: LoRAAdapter, directory: str | Path, name: str) -> None:
    """Add the adapter in a folder (PEFT's format or mlx-lm's), with its head, to those of a base.

    Raises:
        ValueError: it was trained on another base, or does not fit; all tensors that do not are listed.
    """
    read_into(adapter, directory, name, saved_head)


def load_with_adapter(directory: str | Path, base: str | None = None) -> BertWithHead:
    """Read an adapter folder together with its base: the adapter is active, and `model.adapter`.

    Args:
        directory: an adapter with a head: a folder or a Hub id.
        base: a folder or Hub id to use instead of the one that the adapter names.

    Raises:
        FileNotFoundError: no such folder, or the base is not there.
        ValueError: the adapter does not fit its base.
    """
    return load_adapted(directory, saved_head, base)


def load_model(directory: str | Path) -> BertWithHead:
    """Read a folder that `save_model` wrote, or any Hugging Face folder with a sequence classification head.

    The model is in evaluation mode. An adapter is merged into its base, unless that is quantized.

    Raises:
        FileNotFoundError: no folder, or no weights in it.
        ValueError: the folder is damaged, of an unknown architecture, or holds an encoder without head.
    """
    if is_adapter_folder(Path(directory)):
        model = load_with_adapter(directory)
        if not quantized_layers(model):
            model.adapter.merge()
            model.adapter = None  # and with it the weights without the adapter
        if (Path(directory) / TOKENIZER).is_dir():
            model.pretrained_dir = Path(directory)
        return model
    pretrained = read_pretrained(Path(directory))
    model, report = load_with_head(pretrained, saved_head(pretrained))
    if report.reshaped:
        raise ValueError(
            f"the head in {directory} is not the one that its {CONFIG} describes: {'; '.join(report.reshaped)}; "
            "correct head, num_labels or id2label there, or copy the folder again"
        )
    if report.missing:
        raise ValueError(
            f"{directory} lacks weights of its head: {', '.join(report.missing)}; copy the folder again"
        )
    model.eval()
    return model


def update_head(directory: Path, **options: Any) -> None:
    """Change options of the head that a checkpoint was saved with, such as what was learned about its answers.

    Args:
        directory: that `save_model` wrote.
        options: fields of HeadConfig.

    Raises:
        ValueError: the folder has no head section, or the head cannot have these options.
    """
    values = read_json(directory / CONFIG)
    if "head" not in values:
        raise ValueError(f"{directory} was not saved by bert: its {CONFIG} has no head section")
    head = HeadConfig.from_dict({**values["head"], **options})
    text = json.dumps({**values, "head": head.to_dict()}, indent=2)
    write_text(directory / CONFIG, text + "\n", is_durable=True)


def saved_head(pretrained: Pretrained) -> HeadConfig:
    """The head that a folder was saved with: our `head` section, else what Hugging Face's model class means.

    Raises:
        ValueError: the folder holds an encoder alone.
    """
    if "head" in pretrained.values:
        return HeadConfig.from_dict(pretrained.values["head"])
    weight = pretrained.weights.get("classifier.weight")
    if weight is None:
        raise ValueError(
            f"{pretrained.folder} holds an encoder without a trained head; fine-tune it first: "
            f"bert train --model {pretrained.folder}"
        )
    activation = pretrained.values.get("classifier_activation") or "gelu"
    if pretrained.family.transform == "gelu_norm" and activation != "gelu":
        raise ValueError(
            f"{pretrained.folder / CONFIG} has classifier_activation {activation!r}; only 'gelu' is implemented in a "
            f"head; train a new one: bert train --model {pretrained.folder}"
        )
    num_labels, head_type = weight.shape[0], _head_of_transformers(pretrained, weight.shape[0])
    return HeadConfig(
        head_type=head_type,
        num_labels=None if head_type == "regression" else num_labels,
        transform=pretrained.family.transform,
    )


def _head_of_transformers(pretrained: Pretrained, num_labels: int) -> str:
    """The head that a Hugging Face classifier with so many outputs is."""
    values = pretrained.values
    stated = values.get("num_labels") or len(values.get("id2label") or ()) or num_labels
    if stated != num_labels:
        raise ValueError(
            f"{pretrained.folder / CONFIG} has {stated} labels, but classifier.weight has {num_labels} rows; "
            "correct id2label (or num_labels), or copy the folder again"
        )
    problem = values.get("problem_type")
    if problem == "multi_label_classification":
        return "multilabel"
    if num_labels == 1:
        return "regression"
    return "timeseries" if problem == "regression" else "multiclass"


def hub_weights(model: BertWithHead) -> Weights:
    """All weights in f32 under Hugging Face names, adapters merged; packed weights stay as they are."""
    weights = merged_parameters(model)
    if model.head.head_type == "binary":
        # Two outputs whose difference is our one: softmax then gives what our sigmoid gives, bit for bit.
        for name in ("head.classifier.weight", "head.classifier.bias"):
            half = weights[name] / 2
            weights[name] = mx.concatenate([-half, half])
    return {
        # Packed values of quantized layers are whole numbers.
        name: weight.astype(mx.float32) if mx.issubdtype(weight.dtype, mx.floating) else weight
        for name, weight in hub_names(model, weights).items()
    }


def hub_names(model: BertWithHead, weights: Weights) -> Weights:
    """Weights by their names in a model, by the names that Hugging Face gives them."""
    family = family_of(model)
    parts: dict[str, Weights] = {"encoder": {}, "head": {}}
    for name, weight in weights.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = weight
    encoder = family.core.unsanitize(parts["encoder"], model.encoder.config)
    named = {family.prefix + name: weight for name, weight in encoder.items()}
    return named | restore(parts["head"], family.head_names)


def hub_config(model: BertWithHead, labels: Sequence[Any] | None = None) -> dict[str, Any]:
    """The Hugging Face config.json of a model, with our `head` section."""
    family, head = family_of(model), model.head.config
    is_standard = not beyond_transformers(model)
    values = model.encoder.config.to_dict()
    quantization = describe_quantization(model, partial(hub_names, model))
    if "classifier_pooling" in values and is_standard:
        values["classifier_pooling"] = head.pooling
    num_labels = model.head.num_labels
    names = [str(label) for label in labels or ()] or [f"LABEL_{i}" for i in range(num_labels)]
    if len(names) != num_labels:
        raise ValueError(f"{len(names)} label names for a head of {num_labels} labels: {names}")
    return {
        "architectures": [family.classification_class if is_standard else family.model_class],
        **values,
        "classifier_dropout": head.hidden_dropout_prob,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": model.head.problem_type,
        "head": head.to_dict(),
        **({} if quantization is None else {"quantization": quantization}),
    }


def beyond_transformers(model: BertWithHead) -> list[str]:
    """What the classification class of transformers for this architecture cannot do of the model; [] when it does all.

    transformers then reads the encoder alone; `load_model` reads everything.
    """
    family, head = family_of(model), model.head.config
    reasons = []
    if head.pooling not in family.poolings:
        reasons.append(f"{head.pooling} pooling (it has {' or '.join(family.poolings)})")
    if head.transform != family.transform:
        reasons.append(
            f"transform {head.transform!r} before the classifier (it has {family.transform!r})"
        )
    if model.num_numbers:
        reasons.append(f"the {model.num_numbers} numbers of a row")
    if head.head_type not in SHARED_HEADS:
        reasons.append(f"the answers of a head of type {head.head_type!r}")
        return reasons
    if model.head.output_size > model.head.num_labels:
        reasons.append("a standard deviation beside the predicted number")
    # The pooler is named with its pooling.
    known = {*family.head_names.values(), "attention_pooler", "numbers.first", "numbers.last"}
    own = {name.rpartition(".")[0] for name in merged_parameters(model.head)} - known
    if own:
        reasons.append(f"the parts {', '.join(sorted(own))} of its {head.head_type} head")
    return reasons


def family_of(model: BertWithHead) -> EncoderFamily:
    """The line of ENCODERS that a model's encoder belongs to."""
    return look_up(ENCODERS, model.encoder.config.model_type, "architecture")
