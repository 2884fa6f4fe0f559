"""transformers loads the folders we save, and gives the same numbers.

Needs an interpreter with torch and transformers, named in BERT_ORACLE: BERT_ORACLE=... pytest -m oracle
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.checkpoint import beyond_transformers, save_model
from bert_playground.models.factory import create_model
from bert_playground.models.heads import HEADS
from tests.models.layouts import real
from tests.models.tiny import make_rows
from tests.tolerances import TINY

READ = """
import sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification
folder = sys.argv[1]
inputs = load_file(folder + "/inputs.safetensors")
out = {}
with torch.no_grad():
    model, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not [n for n in report["missing_keys"] if "pooler" not in n], report
    out["hidden"] = model.eval()(**inputs).last_hidden_state
    if "ForSequenceClassification" in model.config.architectures[0]:
        model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"], report
        out["logits"] = model.eval()(**inputs).logits
save_file(out, folder + "/outputs.safetensors")
"""

# transformers has no NeoBERT, and its publisher's code lies on the Hub: our own class in torch reads the folder.
READ_NEOBERT = """
import json, sys, torch
from safetensors.torch import load_file, save_file
sys.path.insert(0, sys.argv[2])
from neobert_in_torch import Classifier
folder = sys.argv[1]
inputs, weights = load_file(folder + "/inputs.safetensors"), load_file(folder + "/model.safetensors")
config = json.load(open(folder + "/config.json"))
model = Classifier(config | {"num_labels": len(config["id2label"])}).eval()
is_whole = "ForSequenceClassification" in config["architectures"][0]
used = weights if is_whole else {n: w for n, w in weights.items() if n.startswith("model.")}
model.load_state_dict(used, strict=is_whole)
with torch.no_grad():
    out = {"hidden": model.model(**inputs)}
    if is_whole:
        out["logits"] = model(**inputs)
save_file(out, folder + "/outputs.safetensors")
"""


@pytest.mark.oracle
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pooling", [None, "max"])
def test_transformers_gives_the_same_numbers(
    encoder: str, head: str, pooling: str | None, tmp_path: Path, root: Path
) -> None:
    oracle = os.environ.get("BERT_ORACLE")
    if not oracle:
        pytest.skip("name an interpreter with torch and transformers in BERT_ORACLE")
    model = create_model(
        encoder,
        head,
        3 if head in ("multiclass", "multilabel", "ordinal") else None,
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=32,
        initializer_range=0.2,
        pooling=pooling,
        **({"local_attention": 8, "rope_theta": 5e4} if encoder == "modernbert" else {}),
    ).eval()
    tokens = make_rows([30, 12, 3])
    save_model(model, tmp_path / "model")
    inputs = {
        "input_ids": tokens.input_ids.astype(mx.int64),
        "attention_mask": tokens.attention_mask.astype(mx.int64),
    }
    mx.save_safetensors(str(tmp_path / "model" / "inputs.safetensors"), inputs)
    read = READ_NEOBERT if encoder == "neobert" else READ
    folder = tmp_path / "model"
    subprocess.run([oracle, "-c", read, str(folder), str(root / "scripts")], check=True)
    outputs = mx.load(str(tmp_path / "model" / "outputs.safetensors"))
    hidden = real(model.encoder.encode(tokens), tokens)
    assert (
        np.abs(np.array(hidden - real(outputs["hidden"], tokens))).max()
        <= TINY * np.abs(hidden).max()
    )
    if pooling is not None or beyond_transformers(model):
        assert "logits" not in outputs
        return
    scores = model.head.predict(model(tokens))
    theirs = outputs["logits"]
    expected = {
        "binary": lambda: mx.softmax(theirs, axis=-1)[:, 1],
        "multiclass": lambda: mx.softmax(theirs, axis=-1),
        "multilabel": lambda: mx.sigmoid(theirs),
        "regression": lambda: theirs[:, 0],
        "timeseries": lambda: theirs,
    }[head]()
    assert np.allclose(scores, expected, atol=1e-5)


TRY = """
import json, sys
import transformers
from safetensors.torch import load_file
transformers.logging.set_verbosity_error()
folder, found = sys.argv[1], {}
for name in ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification"):
    options = {} if name == "AutoConfig" else {"output_loading_info": True}
    try:
        read = getattr(transformers, name).from_pretrained(folder, **options)
        found[name] = {} if name == "AutoConfig" else {key: sorted(map(str, read[1][key])) for key in read[1]}
    except Exception as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def ask_transformers(folder: Path, encoder: str, **options: Any) -> dict[str, Any]:
    """For each class of transformers its loading report, or the error that it ended with."""
    oracle = os.environ.get("BERT_ORACLE")
    if not oracle:
        pytest.skip("name an interpreter with torch and transformers in BERT_ORACLE")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"vocab_size": 50, "intermediate_size": 40, "max_position_embeddings": 32}
    save_model(create_model(encoder, "multiclass", 3, **sizes, **options), folder)
    done = subprocess.run(
        [oracle, "-c", TRY, str(folder)], check=True, capture_output=True, text=True, input="n\n"
    )
    # What it asks about code of others stands before it.
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index('{"AutoConfig') :])
    return found


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("modernbert", {"norm_type": "rms"}),
        ("modernbert", {"norm_type": "rms", "num_numbers": 3}),
        ("neobert", {"rope_theta": 5e4}),
        ("bert", {"numeric_tokens": [(5, 9)]}),
        ("modernbert", {"numeric_tokens": [(5, 9)]}),
        ("neobert", {"numeric_tokens": [(5, 9)]}),
    ],
)
def test_transformers_refuses_what_no_published_config_expresses(
    encoder: str, options: dict[str, Any], tmp_path: Path
) -> None:
    found = ask_transformers(tmp_path / "model", encoder, **options)
    for error in found.values():
        assert f"has model type `bert_playground_{encoder}` but Transformers does not" in error


@pytest.mark.oracle
@pytest.mark.parametrize("encoder", ["bert", "modernbert"])
@pytest.mark.parametrize(
    ("options", "report", "names"),
    [
        ({"num_numbers": 3}, "unexpected_keys", "numbers.first.weight"),
        ({"pooling": "max"}, "missing_keys", "dense.weight"),
    ],
)
def test_transformers_reports_a_head_that_it_lacks(
    encoder: str, options: dict[str, Any], report: str, names: str, tmp_path: Path
) -> None:
    found = ask_transformers(tmp_path / "model", encoder, **options)
    assert any(key.endswith(names) for key in found["AutoModelForSequenceClassification"][report])
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["architectures"] == [
        {"bert": "BertModel", "modernbert": "ModernBertModel"}[encoder]
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("options", [{}, {"num_numbers": 3}])
def test_transformers_reads_neobert_only_with_its_publishers_code(
    options: dict[str, Any], tmp_path: Path
) -> None:
    for error in ask_transformers(tmp_path / "model", "neobert", **options).values():
        assert "trust_remote_code=True" in error
