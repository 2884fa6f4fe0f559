"""save_model, load_model: a self-describing folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from bert_playground.files import replaced_directory, save_arrays, write_text
from bert_playground.lookup import look_up
from bert_playground.models.bert.names import Weights, restore
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead, EncoderFamily
from bert_playground.models.heads import HeadConfig
from bert_playground.models.hub_files import CONFIG, WEIGHTS
from bert_playground.models.huggingface import Pretrained, load_with_head, read_pretrained
from bert_playground.models.lora import merged_parameters


def save_model(
    model: BertWithHead, directory: str | Path, labels: Sequence[Any] | None = None
) -> None:
    """Write `config.json` and `model.safetensors` so that transformers, and `load_model`, read the folder.

    Adapters are merged into the weights. A new folder appears complete or not at all; in a folder that exists, each
    file is replaced in one move.

    Args:
        model: what to save.
        directory: the folder.
        labels: the names of the classes in the order of their numbers; None: LABEL_0 and so on.
    """
    directory = Path(directory)
    if directory.is_dir():
        _write_into(directory, model, labels)
    else:
        with replaced_directory(directory) as temporary:
            _write_into(temporary, model, labels)


def _write_into(directory: Path, model: BertWithHead, labels: Sequence[Any] | None) -> None:
    save_arrays(directory / WEIGHTS, hub_weights(model), {"format": "pt"})
    write_text(directory / CONFIG, json.dumps(hub_config(model, labels), indent=2) + "\n")


def load_model(directory: str | Path) -> BertWithHead:
    """Read a folder that `save_model` wrote, or any Hugging Face folder with a sequence classification head.

    The model is in evaluation mode.

    Raises:
        FileNotFoundError: no folder, or no weights in it.
        ValueError: the folder is damaged, of an unknown architecture, or holds an encoder without head.
    """
    pretrained = read_pretrained(Path(directory))
    model, report = load_with_head(pretrained, saved_head(pretrained))
    if report.missing:
        raise ValueError(
            f"{directory} lacks weights of its head: {', '.join(report.missing)}; copy the folder again"
        )
    model.eval()
    return model


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
    num_labels = weight.shape[0]
    is_regression = num_labels == 1
    return HeadConfig(
        head_type="regression" if is_regression else "multiclass",
        num_labels=None if is_regression else num_labels,
        transform=pretrained.family.transform,
    )


def hub_weights(model: BertWithHead) -> Weights:
    """All weights in f32 under Hugging Face names, adapters merged."""
    family = family_of(model)
    weights = merged_parameters(model)
    encoder = {
        name.removeprefix("encoder."): weight
        for name, weight in weights.items()
        if name.startswith("encoder.")
    }
    head = {
        name.removeprefix("head."): weight
        for name, weight in weights.items()
        if name.startswith("head.")
    }
    if model.head.head_type == "binary":
        # Two outputs whose difference is our one: softmax then gives what our sigmoid gives, bit for bit.
        for name in ("classifier.weight", "classifier.bias"):
            half = head[name] / 2
            head[name] = mx.concatenate([-half, half])
    named = {
        family.prefix + name: weight for name, weight in family.core.unsanitize(encoder).items()
    }
    named |= restore(head, family.head_names)
    return {name: weight.astype(mx.float32) for name, weight in named.items()}


def hub_config(model: BertWithHead, labels: Sequence[Any] | None = None) -> dict[str, Any]:
    """The Hugging Face config.json of a model, with our `head` section."""
    family, head = family_of(model), model.head.config
    is_standard = head.transform == family.transform and head.pooling in family.poolings
    values = model.encoder.config.to_dict()
    if "classifier_pooling" in values and is_standard:
        values["classifier_pooling"] = head.pooling
    is_regression = head.head_type == "regression"
    num_labels = 1 if is_regression else max(2, model.head.output_size)
    names = [str(label) for label in labels or ()] or [f"LABEL_{i}" for i in range(num_labels)]
    if len(names) != num_labels:
        raise ValueError(f"{len(names)} label names for a head of {num_labels} labels: {names}")
    return {
        "architectures": [family.classification_class if is_standard else family.model_class],
        **values,
        "classifier_dropout": head.hidden_dropout_prob,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": "regression" if is_regression else "single_label_classification",
        "head": head.to_dict(),
    }


def family_of(model: BertWithHead) -> EncoderFamily:
    """The line of ENCODERS that a model's encoder belongs to."""
    return look_up(ENCODERS, model.encoder.config.model_type, "architecture")
