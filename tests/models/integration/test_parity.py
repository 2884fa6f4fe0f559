"""Our encoders and heads compute what transformers computes."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.models.checkpoint import load_model
from bert_playground.models.factory import load_from_huggingface
from bert_playground.models.heads import HeadConfig
from bert_playground.models.heads.pooling import pool_cls, pool_mean
from bert_playground.models.huggingface import (
    fetch_folder,
    load_encoder,
    load_with_head,
    read_pretrained,
)
from bert_playground.models.tokenwise import named_parameters
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed, real
from tests.tolerances import FULL, GRADIENT, TINY

ENCODER_CASES = [
    "bert",
    "bert_pretraining",
    "modernbert",
    "modernbert_version_4",
    "modernbert_layer_types",
    "neobert",
]
CLASSIFICATION_CASES = [
    "bert_classification",
    "modernbert_classification_mean",
    "modernbert_classification_cls",
    "neobert_classification",
]
LAYOUTS = ["padded", "packed"]


def read_reference(folder: Path) -> dict[str, mx.array]:
    return dict(mx.load(str(folder / "reference.safetensors")))


def tokens_of(reference: dict[str, mx.array], layout: str) -> Tokens:
    padded = Tokens(
        reference["input_ids"],
        reference.get("attention_mask"),
        None,
        reference.get("token_type_ids"),
    )
    return padded if layout == "padded" else as_packed(padded)


def assert_close(actual: mx.array, expected: mx.array, tolerance: float, name: str = "") -> None:
    actual, expected = np.array(actual), np.array(expected)
    assert actual.shape == expected.shape, name
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{name} is off by {error:.1e}"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ENCODER_CASES)
def test_hidden_states_are_those_of_transformers(references: Path, case: str, layout: str) -> None:
    reference = read_reference(references / case)
    encoder = load_encoder(read_pretrained(references / case)).eval()
    tokens = tokens_of(reference, layout)
    padded = tokens_of(reference, "padded")
    assert_close(real(encoder.encode(tokens), tokens), real(reference["hidden"], padded), TINY)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CLASSIFICATION_CASES)
def test_logits_are_those_of_transformers(references: Path, case: str, layout: str) -> None:
    reference = read_reference(references / case)
    model = load_model(references / case)
    assert_close(model(tokens_of(reference, layout)), reference["logits"], TINY)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CLASSIFICATION_CASES)
def test_loss_and_all_gradients_are_those_of_transformers(
    references: Path, case: str, layout: str
) -> None:
    reference = read_reference(references / case)
    tokens = tokens_of(reference, layout)
    model = load_model(references / case)

    def loss_of(parameters: dict[str, mx.array]) -> mx.array:
        model.update(parameters)
        return model.head.loss(model(tokens), reference["labels"])

    loss, gradients = mx.value_and_grad(loss_of)(model.trainable_parameters())
    assert_close(loss, reference["loss"], TINY)
    ours = dict(tree_flatten(gradients))
    expected = _expected_gradients(references / case, reference)
    assert set(ours) == set(expected)
    for name, gradient in ours.items():
        assert_close(gradient, expected[name], GRADIENT, name)


def _expected_gradients(folder: Path, reference: dict[str, mx.array]) -> dict[str, mx.array]:
    """The stored gradients under our names: they are named, fused and split like the weights."""
    pretrained = read_pretrained(folder)
    family = pretrained.family
    names = {hub.removeprefix(family.prefix): ours for hub, ours in family.head_names.items()}
    gradients = {
        name.removeprefix("gradient.").removeprefix(family.prefix): value
        for name, value in reference.items()
        if name.startswith("gradient.")
    }
    result = {}
    for name, value in family.core.sanitize(gradients, pretrained.config).items():
        module, _, leaf = name.rpartition(".")
        ours = f"head.{names[module]}.{leaf}" if module in names else f"encoder.{name}"
        result[ours] = value
    return result


def test_a_classifier_of_two_outputs_becomes_one_logit(references: Path) -> None:
    case = references / "modernbert_classification_mean"
    reference = read_reference(case)
    model = load_from_huggingface(str(case), task="binary").eval()
    logits = model(tokens_of(reference, "padded"))
    probabilities = mx.softmax(reference["logits"], axis=-1)[:, 1]
    assert_close(model.head.predict(logits), probabilities, TINY)


def test_a_checkpoint_for_pretraining_gives_its_encoder_and_its_pooler(references: Path) -> None:
    pretrained = read_pretrained(references / "bert_pretraining")
    model, report = load_with_head(pretrained, HeadConfig(head_type="binary"))
    assert report.missing == ["classifier.weight", "classifier.bias"]
    assert all(name.startswith("cls.") for name in report.unused)
    assert mx.array_equal(model.head.dense.weight, pretrained.weights["pooler.dense.weight"])


def test_without_a_config_the_architecture_is_recognised_by_weight_names(
    references: Path, tmp_path: Path
) -> None:
    for case, architecture in (
        ("bert", "bert"),
        ("modernbert_version_4", "modernbert"),
        ("neobert", "neobert"),
    ):
        folder = tmp_path / case
        folder.mkdir()
        source = references / case / "model.safetensors"
        (folder / "model.safetensors").write_bytes(source.read_bytes())
        pretrained = read_pretrained(folder)
        full = read_pretrained(references / case)
        assert pretrained.architecture == architecture
        for size in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size"):
            assert getattr(pretrained.config, size) == getattr(full.config, size)
        # The number of heads cannot be read off the weights, and decides where NeoBERT's rows go; all else can.
        ours = load_encoder(pretrained)
        theirs = named_parameters(load_encoder(full))
        known = [n for n in theirs if architecture != "neobert" or ".qkv." not in n]
        assert all(mx.array_equal(named_parameters(ours)[n], theirs[n]) for n in known)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_real_minilm_gives_the_vectors_of_transformers(
    references: Path, minilm: Path, layout: str
) -> None:
    reference = read_reference(references / "minilm")
    pretrained = read_pretrained(fetch_folder(minilm))
    assert pretrained.pooling == "mean"
    encoder = load_encoder(pretrained).eval()
    tokens = tokens_of(reference, layout)
    hidden = encoder.encode(tokens)
    assert_close(pool_cls(hidden, tokens), reference["first"], FULL)
    assert_close(pool_mean(hidden, tokens), reference["mean"], FULL)
