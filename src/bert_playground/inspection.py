"""inspect_model: what a checkpoint holds and costs, from its files, without reading the weights."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mlx.nn as nn

from bert_playground.data.templates.row_text import PIPELINE
from bert_playground.data.tokens.tokenizer import TextTokenizer
from bert_playground.documents import Document, check, read_json
from bert_playground.lookup import expand_home, expand_pattern
from bert_playground.models.architectures import name_classes
from bert_playground.models.bert.names import Weights
from bert_playground.models.checkpoint import saved_head
from bert_playground.models.costs import (
    ACTIVATIONS_FORMULA,
    FLOPS_FORMULA,
    Costs,
    measure_costs,
)
from bert_playground.models.ensemble import refuse_ensemble
from bert_playground.models.huggingface import (
    Pretrained,
    load_encoder,
    load_with_head,
    read_pretrained,
)
from bert_playground.models.lora.folder import is_adapter_folder
from bert_playground.models.lora.loading import sketch_adapted
from bert_playground.models.weight_files import TensorHeader, find_weight_files, read_headers
from bert_playground.run_record import find_record
from bert_playground.runs import find_checkpoint

USUAL_LENGTH = 128
PRETRAINING = ("cls.", "decoder.", "lm_head.")
NO_LIMIT = 10**9  # beyond it, transformers means "no length was said"


class LengthDocument(Document):
    """Where rows are cut; of no limit transformers writes a number of 31 digits."""

    max_length: int | None = None
    model_max_length: float | None = None


class Inspection(NamedTuple):
    """What was found, section by section, ready for JSON; sections that do not apply are {}."""

    model: dict[str, Any]
    parameters: dict[str, Any]
    memory: dict[str, Any]
    compute: dict[str, Any]
    head: dict[str, Any]
    tokenizer: dict[str, Any]
    training: dict[str, Any]
    files: dict[str, Any]
    config: dict[str, Any]
    layers: list[dict[str, Any]]
    weights: list[dict[str, Any]]


def inspect_model(name_or_path: str | Path, length: int | None = None) -> Inspection:
    """Look into a checkpoint, a run, a Hugging Face or sentence-transformers folder, or a model on the Hub.

    Args:
        name_or_path: a folder, or a Hub id, which is downloaded once.
        length: tokens in a row, for the costs; None: 128, or less where the model takes less.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a damaged file, an unknown architecture, or a length that the model cannot take.
    """
    folder = _choose_folder(name_or_path)
    if is_adapter_folder(Path(folder)):
        pretrained = sketch_adapted(folder)
    else:
        pretrained = read_pretrained(folder, shapes_only=True)
    headers = read_headers(find_weight_files(pretrained.folder))
    model, left_over = _sketch(pretrained)
    costs = measure_costs(model, _choose_length(pretrained, length))
    tokenizer = _describe_tokenizer(pretrained)
    return Inspection(
        model=_describe_model(pretrained),
        parameters=_describe_parameters(costs, pretrained.folder),
        memory=_describe_memory(costs, headers, pretrained),
        compute=_describe_compute(costs),
        head=_describe_head(model, pretrained, left_over),
        tokenizer=tokenizer,
        training=_describe_training(pretrained.folder),
        files=_describe_files(headers, pretrained.folder),
        config=pretrained.config.to_dict(),
        layers=[_describe_layer(layer) for layer in costs.layers],
        weights=[
            {"name": name, "shape": list(one.shape), "dtype": one.dtype, "file": one.file}
            for name, one in headers.items()
        ],
    )


def _choose_folder(name_or_path: str | Path) -> str | Path:
    path = expand_home(name_or_path)
    if not path.exists() and expand_pattern(path):
        path = name_or_path = find_checkpoint(path)
    refuse_ensemble(path)
    # A run keeps its checkpoints one level down.
    return find_checkpoint(path) if (path / "checkpoints").is_dir() else name_or_path


def _choose_length(pretrained: Pretrained, length: int | None) -> int:
    most = pretrained.config.max_position_embeddings
    if length is not None and not 1 <= length <= most:
        raise ValueError(f"length is {length}, but the model takes rows of 1 to {most} tokens")
    return min(USUAL_LENGTH, most) if length is None else length


def _sketch(pretrained: Pretrained) -> tuple[nn.Module, Weights]:
    """The model with placeholders for weights, and what of the checkpoint it does not use."""
    if "head" in pretrained.values or "classifier.weight" in pretrained.weights:
        model, report = load_with_head(pretrained, saved_head(pretrained))
        return model, {name: pretrained.weights[name] for name in report.unused}
    encoder = load_encoder(pretrained)
    own = ("embeddings.", "layers.", "final_norm.")
    return encoder, {
        name: weight for name, weight in pretrained.weights.items() if not name.startswith(own)
    }


def _describe_model(pretrained: Pretrained) -> dict[str, Any]:
    config = pretrained.config
    return {
        "folder": str(pretrained.folder),
        "architecture": pretrained.architecture,
        "class": ", ".join(pretrained.values.get("architectures") or ()) or None,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "attention_heads": config.num_attention_heads,
        "vocabulary": config.vocab_size,
        "longest_row": config.max_position_embeddings,
        "trained_for_rows_up_to": pretrained.trained_length,
        "quantization": pretrained.values.get("quantization"),
        "adapter": pretrained.values.get("adapter"),
    }


def _describe_parameters(costs: Costs, folder: Path) -> dict[str, Any]:
    record = find_record(folder)
    trained = None if record is None else record.summary.trained_parameters
    parts = {part: count for part, count in costs.parts.items() if count}
    return {**parts, "total": costs.parameters, "trained_in_its_run": trained}


def _describe_memory(
    costs: Costs, headers: Mapping[str, TensorHeader], pretrained: Pretrained
) -> dict[str, Any]:
    adapter = pretrained.values.get("adapter")
    # An adapter trains itself and the head; the base takes no gradients.
    trained = costs.parameters
    if adapter is not None:
        trained = adapter["parameters"] + costs.parts["head"]
    return {
        "weights_on_disk_bytes": sum(header.num_bytes for header in headers.values()),
        "weights_f32_bytes": 4 * costs.parameters,
        "weights_bf16_bytes": 2 * costs.parameters,
        "gradients_and_adamw_f32_bytes": 12 * trained,  # a gradient and two moments each
        "step_activations_f32_bytes_per_token": 4 * costs.step_values,
        "step_activations_bf16_bytes_per_token": 2 * costs.step_values,
        "step_activations_are": ACTIVATIONS_FORMULA,
    }


def _describe_compute(costs: Costs) -> dict[str, Any]:
    return {
        "row_length": costs.length,
        "flops_per_token": round(costs.flops),
        "flops_per_row": round(costs.flops * costs.length),
        "flops_are": FLOPS_FORMULA,
    }


def _describe_head(model: nn.Module, pretrained: Pretrained, left_over: Weights) -> dict[str, Any]:
    """The head that the checkpoint has, or what else lies beside its encoder."""
    others = sorted({name.split(".")[0] for name in left_over})
    facts: dict[str, Any] = {"weights_without_use": ", ".join(others) or None}
    if "head" not in model:
        is_masked = any(name.startswith(PRETRAINING) for name in left_over)
        facts["type"] = "none (masked-language-model weights lie there)" if is_masked else "none"
        if pretrained.pooling:
            facts["pooling"] = pretrained.pooling
        return facts
    head = model["head"]
    labels = list(name_classes(pretrained.values))
    options = {
        key: value
        for key, value in head.config.to_dict().items()
        if key in ("pooling", "transform", "temperature_scaling", "thresholds")
        or (key == "num_numbers" and value)
    }
    return {
        "type": head.head_type,
        "outputs": head.output_size,
        "labels": labels,
        **options,
        **facts,
    }


def _describe_tokenizer(pretrained: Pretrained) -> dict[str, Any]:
    folder = pretrained.folder
    places = [place for place in (folder / "tokenizer", folder) if _has_tokenizer(place)]
    if not places:
        return {}
    tokenizer = TextTokenizer.load(places[0])
    added = tokenizer.tokenizer.get_added_tokens_decoder()
    special = {token.content: number for number, token in added.items() if token.special}
    return {
        "kind": type(tokenizer.tokenizer.model).__name__,
        "entries": tokenizer.vocab_size,
        "fits_the_embedding": tokenizer.vocab_size <= pretrained.config.vocab_size,
        "special_tokens": special,
        "added_words": len(added) - len(special),
        "pad_id": tokenizer.pad_token_id,
        "before_each_row": list(tokenizer.prefix),
        "after_each_row": list(tokenizer.suffix),
        "rows_cut_at": _cut_at(folder),
    }


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))


def _cut_at(folder: Path) -> int | None:
    """Where rows are cut, as the pipeline or the tokenizer's config says."""
    for name, key in ((PIPELINE, "max_length"), ("tokenizer_config.json", "model_max_length")):
        if (folder / name).is_file():
            values = read_json(folder / name)
            check(LengthDocument, values, folder / name)
            length = values.get(key)
            return int(length) if length is not None and length < NO_LIMIT else None
    return None


def _describe_training(folder: Path) -> dict[str, Any]:
    record = find_record(folder)
    if record is None:
        return {}
    keys = ("task", "target", "train_rows", "val_rows", "best_epoch", "epochs", "steps", "seconds")
    of_run = {key: getattr(record.summary, key) for key in keys}
    return {
        "run": str(record.run.path),
        **{key: value for key, value in of_run.items() if value is not None},
        **record.metrics_of(folder),
        "started_from": record.setting("model.pretrained") or "random weights",
        "computed_by": record.environment.computed_by,
        "git_commit": record.environment.git_commit,
    }


def _describe_files(headers: Mapping[str, TensorHeader], folder: Path) -> dict[str, Any]:
    values: Counter[str] = Counter()
    for header in headers.values():
        values[header.dtype] += header.size
    return {
        **{
            name: (folder / name).stat().st_size
            for name in sorted({h.file for h in headers.values()})
        },
        "tensors": len(headers),
        "dtypes": dict(values.most_common()),
    }


def _describe_layer(layer: Any) -> dict[str, Any]:
    window = layer.half_window
    return {
        "layer": layer.name,
        "a_token_sees": "its whole row" if window is None else f"{window} tokens to each side",
        "parameters": layer.parameters,
        "flops_per_token": layer.flops,
    }
