"""Masked words: our logits, losses and gradients are those of transformers, and folders go both ways.

The oracle tests need an interpreter with torch and transformers, named in BERT_ORACLE.
"""

import json
import os
import subprocess
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.huggingface import load_encoder, read_pretrained
from bert_playground.models.masked_lm import (
    MASKED_LMS,
    create_masked_lm,
    load_masked_lm,
    masked_lm_weights,
    save_masked_lm,
)
from bert_playground.models.tokenwise import named_parameters
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed, real
from tests.models.tiny import make_encoder, make_rows
from tests.tolerances import GRADIENT, TINY

FAMILIES = [name for name in MASKED_LMS if name in ENCODERS]

MAKE = """
import sys, torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM
folder, case = sys.argv[1:]
torch.manual_seed(0)
sizes = dict(vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
             max_position_embeddings=32, initializer_range=0.1, pad_token_id=0)
if case.startswith("bert"):
    more = {"bert_untied": {"tie_word_embeddings": False}, "bert_relu": {"hidden_act": "relu"}}.get(case, {})
    model = BertForMaskedLM(BertConfig(**sizes, **more, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
else:
    more = {"modernbert_biases": {"classifier_bias": True, "norm_bias": True},
            "modernbert_untied": {"tie_word_embeddings": False}}.get(case, {})
    ids = dict(bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
    model = ModernBertForMaskedLM(ModernBertConfig(**sizes, **more, **ids, local_attention=8,
                                                   attn_implementation="eager"))
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.ndim == 1:  # biases that are 0 and norms that are 1 would hide mistakes
            parameter += torch.randn_like(parameter) * 0.2
generator = torch.Generator().manual_seed(1)
ids = torch.randint(3, 50, (3, 20), generator=generator)
mask = (torch.arange(20)[None] < torch.tensor([20, 13, 4])[:, None]).long()
labels = torch.where((torch.rand(3, 20, generator=generator) < 0.4) & (mask == 1), torch.randint(3, 50, (3, 20)), -100)
model.eval()
out = model(input_ids=ids, attention_mask=mask, labels=labels)
out.loss.backward()
model.save_pretrained(folder)
gradients = {"gradient." + n: p.grad for n, p in model.named_parameters() if p.grad is not None}
save_file({"input_ids": ids, "attention_mask": mask, "labels": labels, "logits": out.logits.detach(),
           "loss": out.loss.detach()[None], **gradients}, folder + "/reference")
"""

READ = """
import sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM
folder = sys.argv[1]
model, report = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
assert not report["missing_keys"] and not report["unexpected_keys"], report
with torch.no_grad():
    logits = model.eval()(**load_file(folder + "/inputs.safetensors")).logits
save_file({"logits": logits}, folder + "/outputs.safetensors")
"""


def ask_oracle(script: str, *arguments: str) -> None:
    oracle = os.environ.get("BERT_ORACLE")
    if not oracle:
        pytest.skip("name an interpreter with torch and transformers in BERT_ORACLE")
    subprocess.run([oracle, "-c", script, *arguments], check=True)


def assert_close(actual: mx.array, expected: mx.array, tolerance: float, name: str = "") -> None:
    actual, expected = np.array(actual), np.array(expected)
    assert actual.shape == expected.shape, name
    error = np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-8)
    assert error <= tolerance, f"{name} is off by {error:.1e}"


def asked_in(tokens: Tokens, labels: np.ndarray, mask: np.ndarray) -> tuple[Tokens, mx.array]:
    """The tokens with those asked for that have a label, and their labels; padded or packed."""
    flat = labels[mask == 1] if tokens.is_packed else labels.ravel()
    asked = np.flatnonzero(flat >= 0)
    return tokens._replace(masked_positions=mx.array(asked.astype(np.int32))), mx.array(flat[asked])


CASES = ["bert", "bert_untied", "bert_relu", "modernbert", "modernbert_biases", "modernbert_untied"]


@pytest.mark.oracle
@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("case", CASES)
def test_logits_loss_and_gradients_are_those_of_transformers(
    case: str, layout: str, tmp_path: Path
) -> None:
    ask_oracle(MAKE, str(tmp_path), case)
    reference = dict(mx.load(str(tmp_path / "reference"), format="safetensors"))
    model, report = load_masked_lm(tmp_path)
    assert not report.missing
    padded = Tokens(reference["input_ids"], reference["attention_mask"])
    tokens = padded if layout == "padded" else as_packed(padded)
    assert_close(real(model(tokens), tokens), real(reference["logits"], padded), TINY, "logits")

    labels, mask = np.array(reference["labels"]), np.array(reference["attention_mask"])
    tokens, words = asked_in(tokens, labels, mask)
    logits = model(tokens)
    theirs_asked = np.array(reference["logits"])[labels >= 0]
    assert_close(logits, mx.array(theirs_asked), TINY, "asked logits")

    def loss_of(parameters: dict) -> mx.array:
        model.update(parameters)
        return model.head.loss(model(tokens), words)

    loss, gradients = mx.value_and_grad(loss_of)(model.parameters())
    assert abs(float(loss) - float(reference["loss"][0])) <= TINY * float(reference["loss"][0])
    model.update(gradients)
    ours = masked_lm_weights(model)
    theirs = {
        name.removeprefix("gradient."): value
        for name, value in reference.items()
        if name.startswith("gradient.")
    }
    assert set(theirs) <= set(ours)
    # What shifts all keys alike changes no softmax: the gradient of a key's bias is rounding and nothing else.
    floor = 1e-2 * max(float(mx.abs(gradient).max()) for gradient in theirs.values())
    for name, gradient in theirs.items():
        difference = float(mx.abs(ours[name] - gradient).max())
        assert difference <= GRADIENT * max(float(mx.abs(gradient).max()), floor), name


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["bert", "modernbert"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_transformers_fills_in_the_same_words(name: str, is_tied: bool, tmp_path: Path) -> None:
    model = create_masked_lm(make_encoder(name), {"tie_word_embeddings": is_tied}).eval()
    model.head.decoder.bias = mx.random.normal((50,))
    tokens = make_rows([30, 12, 3])
    save_masked_lm(model, tmp_path / "model")
    inputs = {
        "input_ids": tokens.input_ids.astype(mx.int64),
        "attention_mask": tokens.attention_mask.astype(mx.int64),
    }
    mx.save_safetensors(str(tmp_path / "model" / "inputs.safetensors"), inputs)
    ask_oracle(READ, str(tmp_path / "model"))
    theirs = mx.load(str(tmp_path / "model" / "outputs.safetensors"))["logits"]
    assert_close(real(model(tokens), tokens), real(theirs, tokens), TINY)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_folder_is_read_back_exactly(name: str, tmp_path: Path) -> None:
    model = create_masked_lm(make_encoder(name)).eval()
    tokens = make_rows([7, 3])
    save_masked_lm(model, tmp_path / "model")
    loaded, report = load_masked_lm(tmp_path / "model")
    assert report.missing == []
    assert mx.array_equal(model(tokens), loaded(tokens))


@pytest.mark.parametrize("name", FAMILIES)
def test_an_encoder_of_a_saved_folder_is_the_same(name: str, tmp_path: Path) -> None:
    model = create_masked_lm(make_encoder(name)).eval()
    save_masked_lm(model, tmp_path / "model")
    encoder = load_encoder(read_pretrained(tmp_path / "model")).eval()
    tokens = make_rows([7, 3])
    assert mx.array_equal(encoder.encode(tokens), model.encoder.encode(tokens))


@pytest.mark.parametrize("name", FAMILIES)
def test_asked_tokens_get_the_logits_they_have_among_all(name: str) -> None:
    model = create_masked_lm(make_encoder(name)).eval()
    padded = make_rows([7, 3])
    every = np.array(model(padded)).reshape(-1, 50)
    for tokens, places in ((padded, [1, 6, 8]), (as_packed(padded), [1, 6, 8])):
        asked = model(tokens._replace(masked_positions=mx.array(places)))
        assert np.allclose(np.array(asked), every[places], rtol=1e-4, atol=1e-5)


def test_published_files_of_bert_pretraining_are_read(references: Path) -> None:
    model, report = load_masked_lm(references / "bert_pretraining")
    assert report.missing == []
    stored = mx.load(str(references / "bert_pretraining" / "model.safetensors"))
    bias = stored["cls.predictions.bias"]
    assert mx.array_equal(model.head.decoder.bias, bias.astype(mx.float32))


def test_the_first_names_of_norms_are_read_too(tmp_path: Path) -> None:
    model = create_masked_lm(make_encoder("bert")).eval()
    save_masked_lm(model, tmp_path / "model")
    file = str(tmp_path / "model" / "model.safetensors")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = dict(mx.load(file))
    mx.eval(weights)
    for name in list(weights):
        for new, first in old.items():
            if name.endswith(new):
                weights[name.replace(new, first)] = weights.pop(name)
    mx.save_safetensors(file, weights)
    loaded, report = load_masked_lm(tmp_path / "model")
    assert report.missing == []
    assert mx.array_equal(loaded(make_rows([5])), model(make_rows([5])))


def test_a_folder_without_head_gives_one_with_random_weights(references: Path) -> None:
    model, report = load_masked_lm(references / "bert")
    assert sorted(report.missing) == sorted(named_parameters(model.head))


def test_an_untied_decoder_has_a_table_of_its_own() -> None:
    names = MASKED_LMS["neobert"].names
    assert set(names.values()) == {"decoder.weight", "decoder.bias"}
    model = create_masked_lm(make_encoder("bert"), {"tie_word_embeddings": False})
    assert model.head.decoder.weight.shape == (50, 32)
    before = model(make_rows([4]))
    model.encoder.embeddings.words.weight = mx.zeros((50, 32))
    model.head.decoder.weight = mx.zeros((50, 32))
    assert not mx.array_equal(before, model(make_rows([4])))
    assert float(mx.abs(model(make_rows([4]))).max()) == 0.0


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_neobert_has_a_plain_decoder_under_its_published_names(layout: str, tmp_path: Path) -> None:
    model = create_masked_lm(make_encoder("neobert")).eval()
    model.head.decoder.bias = mx.random.normal((50,))
    save_masked_lm(model, tmp_path / "model")
    stored = mx.load(str(tmp_path / "model" / "model.safetensors"))
    assert {name for name in stored if not name.startswith("model.")} == {
        "decoder.weight",
        "decoder.bias",
    }
    tokens = make_rows([9, 4])
    tokens = tokens if layout == "padded" else as_packed(tokens)
    hidden = np.array(real(model.encoder.encode(tokens), tokens), np.float64)
    weight, bias = (np.array(stored[f"decoder.{leaf}"], np.float64) for leaf in ("weight", "bias"))
    expected = mx.array((hidden @ weight.T + bias).astype(np.float32))
    assert_close(real(model(tokens), tokens), expected, TINY)


def test_the_config_says_whether_the_decoder_is_tied(tmp_path: Path) -> None:
    save_masked_lm(create_masked_lm(make_encoder("bert")), tmp_path / "m", hidden_dropout_prob=0.25)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["tie_word_embeddings"] is True
    assert config["architectures"] == ["BertForMaskedLM"]
    assert config["hidden_dropout_prob"] == 0.25


def test_the_loss_is_the_mean_of_cross_entropies() -> None:
    head = create_masked_lm(make_encoder("bert")).head
    logits = mx.random.normal((5, 50)) * 4
    labels = mx.array([0, 7, 49, 7, 3])
    expected = nn.losses.cross_entropy(logits, labels, reduction="mean")
    assert abs(float(head.loss(logits, labels)) - float(expected)) < 1e-5
    assert head.predict(logits).tolist() == np.array(logits).argmax(axis=1).tolist()


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_logits_are_f32_in_any_precision(dtype: mx.Dtype) -> None:
    model = create_masked_lm(make_encoder("modernbert")).eval()
    model.encoder.dtype = dtype
    logits = model(make_rows([6])._replace(masked_positions=mx.array([2, 3])))
    assert logits.dtype == mx.float32
    assert mx.isfinite(logits).all()


def test_an_architecture_without_head_is_named() -> None:
    encoder = make_encoder("bert")

    class Other:
        model_type = "bertt"

    encoder.config = Other()
    with pytest.raises(ValueError, match="did you mean 'bert'"):
        create_masked_lm(encoder)
