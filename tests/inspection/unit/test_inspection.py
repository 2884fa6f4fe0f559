"""What `inspect_model` says of folders: computed from their files, and equal to what loading them shows."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground.config.load import load_config
from bert_playground.export import export_model
from bert_playground.inspection import inspect_model
from bert_playground.models import weight_files
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.checkpoint import load_model, save_model
from bert_playground.models.factory import load_from_huggingface
from bert_playground.models.heads import HEADS
from bert_playground.models.quantization_utils import quantize_model
from bert_playground.models.tokenwise import named_parameters
from bert_playground.training.run import run_training
from tests.export.small import make_model, make_tokenizer, save_checkpoint


@pytest.fixture(scope="module")
def run(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run on the made-up table."""
    flags = {
        "data.train": passengers / "train.csv",
        "data.numeric_features": "off",
        "training.output_dir": tmp_path_factory.mktemp("output"),
        "training.use_compilation": False,
    }
    config, _ = load_config("test", {}, flags)
    return run_training(config).run_dir.path


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("head", HEADS)
def test_parameters_and_head_are_those_of_the_loaded_model(
    encoder: str, head: str, tmp_path: Path
) -> None:
    folder = save_checkpoint(make_model(encoder, head), tmp_path / "model")
    found, model = inspect_model(folder), load_model(folder)
    assert found.parameters["total"] == sum(v.size for v in named_parameters(model).values())
    assert (found.head["type"], found.head["outputs"]) == (head, model.head.output_size)
    assert found.head["pooling"] == model.head.config.pooling
    assert found.model["architecture"] == encoder
    assert found.model["layers"] == len(found.layers) == 3
    assert found.config == model.encoder.config.to_dict()


def test_classes_may_be_a_list(tmp_path: Path) -> None:
    """Some tools write id2label as one."""
    folder = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": ["no", "yes"]}))
    assert inspect_model(folder).head["labels"] == ["no", "yes"]


def test_weights_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")

    def refuse(*_: Any) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(weight_files.mx, "load", refuse)
    assert inspect_model(folder).parameters["total"] > 0


def test_a_run_tells_how_it_was_trained(run: Path) -> None:
    found = inspect_model(run)
    summary = json.loads((run / "summary.json").read_text())
    assert found.model["folder"] == str(run / "checkpoints" / "best")
    assert found.training["target"] == "Survived"
    assert found.training["val_accuracy"] == summary["metrics"]["val_accuracy"]
    assert found.training["started_from"] == "random weights"
    assert found.parameters["trained_in_its_run"] == summary["trained_parameters"]
    assert found.parameters["total"] == summary["parameters"]
    last = inspect_model(run / "checkpoints" / "final").training
    assert last["val_accuracy"] == summary["last_metrics"]["val_accuracy"]


def test_a_folder_without_run_tells_nothing_about_training(run: Path, tmp_path: Path) -> None:
    export_model(run, tmp_path / "out")
    assert inspect_model(tmp_path / "out").training == {}


def test_the_tokenizer_is_described(tmp_path: Path) -> None:
    folder = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    tokenizer = make_tokenizer()
    assert inspect_model(folder).tokenizer == {
        "kind": "WordPiece",
        "entries": tokenizer.vocab_size,
        "fits_the_embedding": True,
        "special_tokens": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
        "added_words": 0,
        "pad_id": 0,
        "before_each_row": [2],
        "after_each_row": [3],
        "rows_cut_at": 64,
    }
    (folder / "tokenizer.json").unlink()
    assert inspect_model(folder).tokenizer == {}


@pytest.mark.parametrize(("dtype", "spelled"), [("f32", "F32"), ("f16", "F16"), ("bf16", "BF16")])
def test_numbers_on_disk_are_counted(dtype: str, spelled: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(make_model("modernbert", "regression"), tmp_path / "model")
    export_model(checkpoint, tmp_path / "out", dtype=dtype)
    found = inspect_model(tmp_path / "out")
    assert found.files["dtypes"] == {spelled: found.parameters["total"]}
    size = 4 if dtype == "f32" else 2
    assert found.memory["weights_on_disk_bytes"] == size * found.parameters["total"]
    assert found.memory["weights_bf16_bytes"] == 2 * found.parameters["total"]
    assert found.files["tensors"] == len(found.weights)


def test_a_quantized_model_counts_what_its_weights_stand_for(tmp_path: Path) -> None:
    full = save_checkpoint(make_model("bert", "binary"), tmp_path / "full")
    model = quantize_model(make_model("bert", "binary"), bits=4, group_size=32)
    small = save_checkpoint(model, tmp_path / "small")
    a, b = inspect_model(full), inspect_model(small)
    assert a.parameters == b.parameters
    assert a.compute == b.compute
    assert b.memory["weights_on_disk_bytes"] < a.memory["weights_on_disk_bytes"]
    assert b.model["quantization"]["bits"] == 4
    assert "U32" in b.files["dtypes"]


def test_an_adapter_is_shown_on_its_base(tmp_path: Path) -> None:
    base = save_checkpoint(make_model("bert", "binary"), tmp_path / "base")
    adapted = load_from_huggingface(str(base), "classification", head_type="binary", add_lora=True)
    save_model(adapted, tmp_path / "adapter")
    found, alone = inspect_model(tmp_path / "adapter"), inspect_model(base)
    assert found.parameters["total"] == alone.parameters["total"]
    assert found.model["adapter"]["base"] == str(base)
    num_weights = sum(
        value.size
        for name, value in named_parameters(adapted).items()
        if name.endswith(("lora_a", "lora_b"))
    )
    assert found.model["adapter"]["parameters"] == num_weights > 0
    trained = num_weights + found.parameters["head"]
    assert found.memory["gradients_and_adamw_f32_bytes"] == 12 * trained
    exported = export_model(tmp_path / "adapter", tmp_path / "merged")
    assert exported.reader == "BertForSequenceClassification"
    assert exported.largest_difference < 1e-6


def test_an_encoder_alone_says_what_else_lies_there(references: Path) -> None:
    found = inspect_model(references / "bert_pretraining")
    assert found.head["type"] == "none (masked-language-model weights lie there)"
    assert "cls" in str(found.head["weights_without_use"])
    assert "head" not in found.parameters


def test_a_sentence_transformer_says_its_pooling_and_length(
    references: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sentences"
    shutil.copytree(references / "bert", folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 40}')
    found = inspect_model(folder)
    assert found.head["pooling"] == "mean"
    assert found.model["trained_for_rows_up_to"] == 40


def test_costs_follow_the_length(tmp_path: Path) -> None:
    folder = save_checkpoint(make_model("modernbert", "binary"), tmp_path / "model")
    short, long = inspect_model(folder, 8), inspect_model(folder, 64)
    assert short.compute["row_length"] == 8
    assert short.layers[0]["flops_per_token"] < long.layers[0]["flops_per_token"]
    assert short.layers[0]["a_token_sees"] == "its whole row"
    assert short.layers[1]["a_token_sees"] == "4 tokens to each side"
    assert inspect_model(folder).compute["row_length"] == 64


@pytest.mark.parametrize("length", [0, 65])
def test_an_impossible_length_is_refused(length: int, tmp_path: Path) -> None:
    folder = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    with pytest.raises(
        ValueError, match=rf"length is {length}, but the model takes rows of 1 to 64"
    ):
        inspect_model(folder, length)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    weights = dict(mx.load(str(folder / "model.safetensors")))
    mx.eval(weights)
    name = next(name for name in weights if "intermediate" in name)
    mx.save_safetensors(str(folder / "model.safetensors"), weights | {name: mx.zeros((3, 3))})
    with pytest.raises(ValueError, match=r"has shape \[3, 3\], expected"):
        inspect_model(folder)
    with pytest.raises(FileNotFoundError, match="no checkpoint folder at"):
        inspect_model(tmp_path / "nothing" / "here")
