"""Rows of 1 to 2048 tokens, padded batches and gradients against transformers, tiny and in published size.

Needs an interpreter with torch and transformers, named in BERT_ORACLE: BERT_ORACLE=... pytest -m oracle
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.models.bert import Encoder
from bert_playground.models.huggingface import load_encoder, read_pretrained
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed, real
from tests.tolerances import FULL, GRADIENT, TINY

LENGTHS = [1, 64, 65, 129, 512, 2048]
CASES = {
    "bert": {"family": "bert"},
    "bert_relu": {"family": "bert", "options": {"hidden_act": "relu"}},
    "bert_quick_gelu": {"family": "bert", "options": {"hidden_act": "quick_gelu"}},
    "bert_mish": {"family": "bert", "options": {"hidden_act": "mish"}},
    "modernbert": {"family": "modernbert"},
    "modernbert_silu": {
        "family": "modernbert",
        "options": {"hidden_activation": "silu", "local_attention": 32},
    },
    "neobert": {"family": "neobert"},
}
FULL_LENGTHS = {"bert": [64, 512], "modernbert": [129, 2048], "neobert": [64, 512]}
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def answers(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny case; the oracle is asked once for it."""
    folder = tmp_path_factory.mktemp("oracle")

    def answer(name: str) -> Path:
        if not (folder / name).exists():
            case = {"is_full": False, "lengths": LENGTHS, **CASES[name]}
            ask_oracle(root, folder / name, case)
        return folder / name

    return answer


def ask_oracle(root: Path, folder: Path, case: dict) -> None:
    oracle = os.environ.get("BERT_ORACLE")
    if not oracle:
        pytest.skip("name an interpreter with torch and transformers in BERT_ORACLE")
    script = Path(__file__).with_name("parity_in_torch.py")
    command = [oracle, script, root / "scripts", folder, json.dumps(case)]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def read_outputs(folder: Path) -> dict[str, mx.array]:
    return dict(mx.load(str(folder / "outputs.safetensors")))


def off_by(actual: mx.array, expected: mx.array) -> float:
    assert actual.shape == expected.shape
    return float(mx.abs(actual - expected).max() / mx.abs(expected).max())


def assert_rows_agree(
    encoder: Encoder, outputs: dict[str, mx.array], lengths: list[int], tolerance: float
) -> None:
    errors = {}
    for length in lengths:
        ids, expected = outputs[f"ids.{length}"], outputs[f"hidden.{length}"]
        errors[length, "call"] = off_by(encoder(ids), expected)
        errors[length, "padded"] = off_by(encoder.encode(Tokens(ids)), expected)
    tokens = Tokens(outputs["ids.padded"], outputs["mask.padded"])
    expected = real(outputs["hidden.padded"], tokens)
    errors["batch", "call"] = off_by(real(encoder(*tokens[:2]), tokens), expected)
    errors["batch", "padded"] = off_by(real(encoder.encode(tokens), tokens), expected)
    errors["batch", "packed"] = off_by(encoder.encode(as_packed(tokens)), expected)
    wrong = {key: error for key, error in errors.items() if not error <= tolerance}
    assert not wrong


@pytest.mark.parametrize("name", CASES)
def test_tiny_models_agree_at_every_length(name: str, answers: Callable[[str], Path]) -> None:
    folder = answers(name)
    encoder = load_encoder(read_pretrained(folder)).eval()
    assert_rows_agree(encoder, read_outputs(folder), LENGTHS, TINY)


@pytest.mark.parametrize("layout", ["call", "padded", "packed"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_long_padded_rows_agree(
    name: str, layout: str, answers: Callable[[str], Path]
) -> None:
    folder = answers(name)
    outputs, pretrained = read_outputs(folder), read_pretrained(folder)
    encoder = load_encoder(pretrained).eval()
    tokens = Tokens(outputs["ids.padded"], outputs["mask.padded"])
    packed, cotangent = as_packed(tokens), outputs["cotangent"]
    places = np.flatnonzero(np.array(tokens.attention_mask))

    def loss(parameters: dict) -> mx.array:
        encoder.update(parameters)
        if layout == "packed":
            there = cotangent.reshape(-1, cotangent.shape[-1])[mx.array(places)]
            return (encoder.encode(packed) * there).sum()
        hidden = encoder(*tokens[:2]) if layout == "call" else encoder.encode(tokens)
        return (hidden * cotangent).sum()

    ours = dict(tree_flatten(mx.grad(loss)(encoder.trainable_parameters())))
    named = {
        name.removeprefix("gradient."): value
        for name, value in outputs.items()
        if name.startswith("gradient.")
    }
    expected = pretrained.family.core.sanitize(named, pretrained.config)
    assert set(ours) - set(expected) <= {"embeddings.token_types.weight"}
    wrong = {name: off_by(ours[name], value) for name, value in expected.items()}
    assert not {name: error for name, error in wrong.items() if not error <= GRADIENT}


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL_LENGTHS)
def test_models_of_published_size_agree(name: str, root: Path, tmp_path: Path) -> None:
    case = {"family": name, "is_full": True, "lengths": FULL_LENGTHS[name]}
    ask_oracle(root, tmp_path / "model", case)
    outputs = read_outputs(tmp_path / "model")
    encoder = load_encoder(read_pretrained(tmp_path / "model")).eval()
    errors = [
        off_by(encoder(outputs[f"ids.{length}"]), outputs[f"hidden.{length}"])
        for length in FULL_LENGTHS[name]
    ]
    tokens = Tokens(outputs["ids.padded"], outputs["mask.padded"])
    hidden = real(encoder(*tokens[:2]), tokens)
    errors.append(off_by(hidden, real(outputs["hidden.padded"], tokens)))
    assert max(errors) <= FULL, errors
