"""peft reads the adapters we write, and we read peft's, with the same logits.

Needs an interpreter with torch, transformers and peft, named in BERT_ORACLE: BERT_ORACLE=... pytest -m oracle
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_map_with_path

from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import load_model, load_with_adapter, save_model
from bert_playground.models.factory import create_model, load_from_huggingface
from bert_playground.models.huggingface import read_pretrained
from bert_playground.models.lora import LoRAAdapter, LoRAConfig
from bert_playground.models.lora.folder import base_of
from tests.models.tiny import make_rows
from tests.tolerances import ADAPTER

ATTENTION = {"bert": ["query", "value"], "modernbert": ["attn.Wqkv"]}
LAST = {"bert": "output.dense", "modernbert": "mlp.Wo"}
# Settings that both sides spell alike.
SHARED: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True, "r": 6},
    "dora": {"use_dora": True},
    "layers": {"layers_to_transform": [1, 3]},
    "lora_only": {"bias": "lora_only"},
    "all biases": {"bias": "all"},
    "all-linear": {"target_modules": "all-linear"},
    "regex": {"target_modules": r".*layers?\.[02]\.(attn|attention).*(Wo|dense|query)"},
}
OWN: dict[str, dict[str, Any]] = {
    # On ModernBERT query and value are parts of Wqkv, here of different ranks.
    "short names": {"target_modules": ["query", "value", "up", "down"]},
    "short ranks": {
        "rank_pattern": {"query": 2, "layers.1.value": 6},
        "alpha_pattern": {"value": 3},
    },
    "short dora": {"target_modules": ["query", "key", "output"], "use_dora": True, "r": 3},
    "short rslora": {"use_rslora": True, "rank_pattern": {"layers.[01].query": 7}},
    "embeddings": {"modules_to_save": ["embeddings.norm", "layers.0.feed_forward_norm"]},
}


def patterns(encoder: str) -> dict[str, dict[str, Any]]:
    """Rank and alpha patterns by the names of an architecture."""
    first = ATTENTION[encoder][0]
    return {
        "patterns": {
            "target_modules": [*ATTENTION[encoder], LAST[encoder]],
            "rank_pattern": {first: 2, rf"layers?\.[01]\..*{LAST[encoder]}": 6},
            "alpha_pattern": {LAST[encoder]: 3},
        },
        "patterns dora": {
            "rank_pattern": {first: 3},
            "alpha_pattern": {first: 5},
            "use_dora": True,
        },
    }


CASES = [
    (encoder, name, {"target_modules": ATTENTION[encoder], "r": 4, **options})
    for encoder in ATTENTION
    for name, options in {**SHARED, **patterns(encoder)}.items()
]
OUR_CASES = CASES + [
    (encoder, name, {"r": 4, **options}) for encoder in ATTENTION for name, options in OWN.items()
]
LABELS = {"bert": 3, "modernbert": 2}

WRITE_AND_READ = """
import json, sys, pathlib, torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
root = pathlib.Path(sys.argv[1])
inputs = load_file(root / "inputs.safetensors")
torch.manual_seed(0)
for case in json.loads((root / "cases.json").read_text()):
    folder, base = root / case["folder"], root / case["base"]
    with torch.no_grad():
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=case["labels"])
        if case["options"] is None:
            model = PeftModel.from_pretrained(model, folder).eval()
        else:
            model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **case["options"])).eval()
            for name, parameter in model.named_parameters():
                if parameter.requires_grad and "original_module" not in name:
                    parameter.add_(torch.randn_like(parameter) * (0.3 if "lora_B" in name else 0.05))
            model.save_pretrained(folder)
        logits = model(**inputs).logits
        merged = model.merge_and_unload()(**inputs).logits
    save_file({"logits": logits, "merged": merged}, folder / "outputs.safetensors")
"""


def run_oracle(root: Path, cases: list[dict[str, Any]]) -> None:
    oracle = os.environ.get("BERT_ORACLE")
    if not oracle:
        pytest.skip("name an interpreter with torch, transformers and peft in BERT_ORACLE")
    tokens = make_rows([30, 12, 3])
    inputs = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    inputs = {name: array.astype(mx.int64) for name, array in inputs.items()}
    mx.save_safetensors(str(root / "inputs.safetensors"), inputs)
    (root / "cases.json").write_text(json.dumps(cases))
    subprocess.run([oracle, "-c", WRITE_AND_READ, str(root)], check=True, capture_output=True)


def make_base(root: Path, encoder: str) -> Path:
    options = {"modernbert": {"local_attention": 8, "norm_bias": True, "attention_bias": True}}
    model = create_model(
        encoder,
        "multiclass",
        LABELS[encoder],
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=32,
        initializer_range=0.2,
        **options.get(encoder, {}),
    )
    save_model(model, root / f"base_{encoder}")
    return root / f"base_{encoder}"


def fill(model: BertWithHead) -> None:
    """Move every trained number, as training does."""

    def moved(name: str, value: mx.array) -> mx.array:
        return value + mx.random.normal(value.shape) * (0.3 if "lora_b" in name else 0.05)

    model.update(tree_map_with_path(moved, model.trainable_parameters()))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters written by peft, with what its model answers."""
    root = tmp_path_factory.mktemp("theirs")
    mx.random.seed(0)
    for encoder in ATTENTION:
        make_base(root, encoder)
    run_oracle(
        root,
        [
            {
                "folder": f"{encoder} {name}",
                "base": f"base_{encoder}",
                "labels": LABELS[encoder],
                "options": options,
            }
            for encoder, name, options in CASES
        ],
    )
    return root


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters written by us, with what our model answers and what peft's does."""
    root = tmp_path_factory.mktemp("ours")
    mx.random.seed(0)
    bases = {encoder: make_base(root, encoder) for encoder in ATTENTION}
    tokens, cases = make_rows([30, 12, 3]), []
    for encoder, name, options in OUR_CASES:
        model = load_from_huggingface(
            str(bases[encoder]), "classification", LABELS[encoder], head_type="multiclass"
        )
        adapter = LoRAAdapter(model, LoRAConfig(dropout=0.0, **options))
        adapter.base = base_of(str(bases[encoder]), read_pretrained(bases[encoder]))
        fill(model)
        folder = root / f"{encoder} {name}"
        save_model(model.eval(), folder)
        mx.save_safetensors(str(folder / "ours.safetensors"), {"logits": model(tokens)})
        case = {"folder": folder.name, "base": bases[encoder].name, "labels": LABELS[encoder]}
        cases.append({**case, "options": None})
    run_oracle(root, cases)
    return root


def distance(a: mx.array, b: mx.array) -> float:
    return float(np.abs(np.array(a) - np.array(b)).max())


@pytest.mark.oracle
@pytest.mark.parametrize(("encoder", "name"), [case[:2] for case in CASES])
def test_we_read_what_peft_writes(theirs: Path, encoder: str, name: str) -> None:
    folder, tokens = theirs / f"{encoder} {name}", make_rows([30, 12, 3])
    expected = mx.load(str(folder / "outputs.safetensors"))["logits"]
    base = load_model(theirs / f"base_{encoder}")
    assert distance(base(tokens), expected) > 0.05  # the adapter does something
    assert distance(load_with_adapter(folder)(tokens), expected) < ADAPTER
    assert distance(load_model(folder)(tokens), expected) < ADAPTER


@pytest.mark.oracle
@pytest.mark.parametrize(("encoder", "name"), [case[:2] for case in OUR_CASES])
def test_peft_reads_what_we_write(ours: Path, encoder: str, name: str) -> None:
    folder = ours / f"{encoder} {name}"
    outputs = mx.load(str(folder / "outputs.safetensors"))
    logits = mx.load(str(folder / "ours.safetensors"))["logits"]
    assert distance(outputs["logits"], logits) < ADAPTER
    assert distance(outputs["merged"], logits) < ADAPTER
    assert distance(load_model(folder)(make_rows([30, 12, 3])), logits) < ADAPTER
