"""export_huggingface: a folder that transformers reads: weights, config, tokenizer and a model card."""

import json
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.templates.row_text import PIPELINE
from bert_playground.documents import read_json
from bert_playground.export.exported import Exported
from bert_playground.export.model_card import Card
from bert_playground.export.tokenizer_files import write_tokenizer
from bert_playground.files import save_arrays, write_text
from bert_playground.lookup import look_up, shorten
from bert_playground.models.architectures import name_classes
from bert_playground.models.bert.names import Weights
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import (
    beyond_transformers,
    family_of,
    hub_config,
    hub_weights,
    load_model,
)
from bert_playground.models.heads import TimeSeriesRegressionHead
from bert_playground.models.hub_files import CONFIG, WEIGHTS
from bert_playground.models.quantization_utils import dequantize_model
from bert_playground.models.tokenwise import named_parameters
from bert_playground.run_record import find_record
from bert_playground.tokens import Tokens

# Our names, MLX's types and those of transformers.
DTYPES = {
    "f32": (mx.float32, "float32"),
    "f16": (mx.float16, "float16"),
    "bf16": (mx.bfloat16, "bfloat16"),
}
TEMPERED = ("binary", "multiclass")  # the heads that divide by a temperature
LARGEST_F16 = 65504
SAMPLE_LENGTHS = (48, 17, 3)  # of the made-up rows on which answers are compared


def export_huggingface(checkpoint: Path, folder: Path, dtype: str = "f32") -> Exported:
    """Write a checkpoint so that `AutoModelForSequenceClassification` and `AutoTokenizer` read it.

    A fitted temperature is divided into the classifier, so that transformers' probabilities are ours; quantized weights
    are written in full. What transformers' classification class cannot do (max and attention pooling, ordinal heads) is
    exported as an encoder, with a note that says so.

    Args:
        checkpoint: a checkpoint folder with a head.
        folder: where to write; exists.
        dtype: f32, f16 or bf16.

    Raises:
        ValueError: an encoder that transformers does not have, or weights that f16 cannot hold.
    """
    mlx_dtype, dtype_name = look_up(DTYPES, dtype, "dtype")
    model = load_model(checkpoint)
    _check_encoder(model)
    before = answer_samples(model)
    dequantize_model(model)
    fold_temperature(model)
    save_arrays(folder / WEIGHTS, _cast(hub_weights(model), mlx_dtype), {"format": "pt"})
    config = hub_config(model, labels_of(checkpoint)) | {"dtype": dtype_name}
    write_text(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    notes = _notes(model, has_tokenizer=write_tokenizer(checkpoint, folder))
    difference = float(np.abs(answer_samples(load_model(folder)) - before).max())
    record = find_record(checkpoint)
    card = Card(
        config=config,
        num_parameters=sum(weight.size for weight in named_parameters(model).values()),
        pipeline=TextPipeline.load(checkpoint) if (checkpoint / PIPELINE).is_file() else None,
        record=record,
        metrics={} if record is None else record.metrics_of(checkpoint),
        notes=notes,
        difference=difference,
    )
    write_text(folder / "README.md", card.text())
    return _describe(folder, str(config["architectures"][0]), dtype, notes, difference)


def _describe(
    folder: Path, reader: str, dtype: str, notes: tuple[str, ...], difference: float
) -> Exported:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return Exported(
        folder=folder,
        reader=reader,
        dtype=dtype,
        files=tuple(sorted(str(path.relative_to(folder)) for path in files)),
        num_bytes=sum(path.stat().st_size for path in files),
        notes=notes,
        largest_difference=difference,
    )


def _check_encoder(model: BertWithHead) -> None:
    config = model.encoder.config
    if getattr(config, "norm_type", "layer") != "layer":
        raise ValueError(
            f"the encoder has norm_type {config.norm_type!r}, which {family_of(model).model_class} of transformers does "
            "not have: it would read the folder and answer something else. Train with norm_type 'layer' to export"
        )
    if config.numeric_tokens:
        raise ValueError(
            f"the encoder adds the values of {len(config.numeric_tokens)} numbers to the tokens of their cells, which "
            f"{family_of(model).model_class} of transformers does not: it would read the folder and answer something else. "
            "Train with --set data.numeric_features=off to export"
        )
    if (written := config.to_dict()["model_type"]) != config.model_type:
        raise ValueError(
            f"the encoder is a {written}, which {family_of(model).model_class} would read as another one and answer "
            "something else. Train with the published rope_theta to export"
        )


def fold_temperature(model: BertWithHead) -> None:
    """Divide the classifier by the temperature, so that plain softmax or sigmoid gives the same probabilities."""
    config = model.head.config
    if config.head_type not in TEMPERED or config.temperature_scaling == 1:
        return
    if beyond_transformers(model):  # read by load_model alone, which knows the temperature
        return
    classifier = model.head.classifier
    classifier.weight = classifier.weight / config.temperature_scaling
    classifier.bias = classifier.bias / config.temperature_scaling
    model.head.config = replace(config, temperature_scaling=1.0)


def _cast(weights: Weights, dtype: mx.Dtype) -> Weights:
    if dtype == mx.float16:
        wrong = [
            name for name in weights if float(np.array(mx.abs(weights[name]).max())) > LARGEST_F16
        ]
        if wrong:
            raise ValueError(
                f"f16 ends at {LARGEST_F16}, but larger weights are in {shorten(wrong, most=5)}; use bf16"
            )
    return {name: weight.astype(dtype) for name, weight in weights.items()}


def labels_of(checkpoint: Path) -> list[str] | None:
    """The names of the classes that the checkpoint was saved with, in the order of their numbers."""
    if not (checkpoint / CONFIG).is_file():
        return None
    return list(name_classes(read_json(checkpoint / CONFIG))) or None


def _notes(model: BertWithHead, *, has_tokenizer: bool) -> tuple[str, ...]:
    """What somebody who reads the folder with transformers has to know."""
    family, reasons = family_of(model), beyond_transformers(model)
    notes = []
    if reasons:
        notes.append(
            f"transformers reads the encoder alone ({family.model_class}): its {family.classification_class} does not "
            f"have {' nor '.join(reasons)}. bert-playground reads the whole model"
        )
    if "auto_map" in model.encoder.config.to_dict():
        notes.append(
            f"transformers has no {family.model_class} of its own: read it with trust_remote_code=True, which fetches "
            "the publisher's code"
        )
    if not has_tokenizer:
        notes.append("no tokenizer lay with the checkpoint, so none was written")
    return tuple(notes)


def answer_samples(model: BertWithHead) -> np.ndarray:
    """The model's answers to a few made-up rows, the same for models with the same vocabulary, computed in f32."""
    lengths = [min(length, model.encoder.max_length) for length in SAMPLE_LENGTHS]
    ids = np.random.default_rng(0).integers(0, model.encoder.config.vocab_size, (3, max(lengths)))
    mask = np.arange(max(lengths))[None] < np.array(lengths)[:, None]
    numbers = None
    if count := model.num_numbers:
        numbers = mx.array(np.random.default_rng(1).random((3, count), dtype=np.float32))
    tokens = Tokens(mx.array(ids), mx.array(mask), numbers=numbers)
    hidden = model.encoder.encode(tokens)
    return np.array(model.head.predict(_logits(model, hidden, model.left_to_head(tokens))))


def _logits(model: BertWithHead, hidden: mx.array, tokens: Tokens) -> mx.array:
    head = model.head
    if isinstance(head, TimeSeriesRegressionHead) and head.config.num_temporal_features:
        shape = (tokens.num_rows, head.num_labels, head.config.num_temporal_features)
        return head(hidden, tokens, mx.zeros(shape))
    return head(hidden, tokens)
