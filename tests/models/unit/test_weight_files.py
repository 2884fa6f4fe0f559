"""Files that are damaged, of another kind or of no known number: refused, and never read half."""

import json
import pickle
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import save_file

from bert_playground.models.checkpoint import load_model
from bert_playground.models.huggingface import load_encoder, read_pretrained
from bert_playground.models.tokenwise import named_parameters
from bert_playground.models.weight_files import TensorHeader, find_weight_files, read_headers

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def write(folder: Path, names: dict[str, list[str]]) -> Path:
    """Files with a small weight under each name."""
    folder.mkdir(exist_ok=True)
    for file, weights in names.items():
        mx.save_safetensors(str(folder / file), {name: mx.ones((2, 3)) for name in weights})
    return folder


def copy_of(source: Path, target: Path, **config: Any) -> Path:
    """A folder of the tiny references, with some values of its config changed (None: removed)."""
    target.mkdir()
    values = json.loads((source / "config.json").read_text()) | config
    kept = {key: value for key, value in values.items() if value is not None}
    (target / "config.json").write_text(json.dumps(kept))
    (target / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes())
    return target


def change_weights(folder: Path, change: Any) -> Path:
    weights = dict(mx.load(str(folder / WEIGHTS)))
    mx.eval(weights)
    mx.save_safetensors(str(folder / WEIGHTS), change(weights))
    return folder


def test_headers_say_what_lies_in_the_files(tmp_path: Path) -> None:
    mx.save_safetensors(str(tmp_path / "a.safetensors"), {"x": mx.ones((2, 3), dtype=mx.bfloat16)})
    mx.save_safetensors(str(tmp_path / "b.safetensors"), {"y": mx.ones((4,), dtype=mx.uint32)})
    headers = read_headers([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])
    assert headers == {
        "x": TensorHeader("BF16", (2, 3), "a.safetensors"),
        "y": TensorHeader("U32", (4,), "b.safetensors"),
    }
    assert [headers[name].num_bytes for name in "xy"] == [12, 16]


@pytest.mark.parametrize("kept", [0, 4, 100, -1000])
def test_a_file_that_is_cut_off_is_named(references: Path, tmp_path: Path, kept: int) -> None:
    folder = copy_of(references / "bert", tmp_path / "cut")
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cut/model.safetensors cannot be read.*cut off: copy"):
        read_pretrained(folder)


def test_a_header_that_was_overwritten_is_named(references: Path, tmp_path: Path) -> None:
    folder = copy_of(references / "bert", tmp_path / "model")
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[8:40] = bytes(32)
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read"):
        read_pretrained(folder)


def test_a_pickle_by_another_name_is_not_read(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(pickle.dumps({"x": np.ones(300)}))
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read"):
        read_pretrained(tmp_path)


def test_a_pointer_of_git_lfs_is_recognised(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=r"pointer of Git LFS.*git lfs pull"):
        read_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_pickles_are_refused_with_the_way_to_convert_them(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({}))
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    with pytest.raises(FileNotFoundError, match="pickle can run any code") as caught:
        read_pretrained(tmp_path)
    assert "import BertForSequenceClassification as M" in str(caught.value)
    assert f"save_pretrained('{tmp_path}')" in str(caught.value)


def test_a_folder_with_a_config_alone_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"found config.json. Only safetensors files are"):
        read_pretrained(tmp_path)


def test_a_file_is_answered_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).touch()
    with pytest.raises(FileNotFoundError, match=f"is a file; give the folder.*{tmp_path}"):
        read_pretrained(tmp_path / WEIGHTS)


def test_numbered_shards_without_index_belong_together(tmp_path: Path) -> None:
    files = {f"model-0000{i}-of-00002.safetensors": [f"w{i}"] for i in (1, 2)}
    folder = write(tmp_path / "model", files)
    assert [path.name for path in find_weight_files(folder)] == list(files)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks model-00002-of-00002.safetensors"):
        find_weight_files(folder)


def test_one_file_of_any_name_is_read_and_several_are_not_guessed_among(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", {"weights.safetensors": ["w"]})
    assert [path.name for path in find_weight_files(folder)] == ["weights.safetensors"]
    write(folder, {"model.fp16.safetensors": ["w"]})
    with pytest.raises(ValueError, match=r"2 safetensors files.*model.fp16.safetensors, weights"):
        find_weight_files(folder)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_an_index_without_names_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(ValueError, match="no weight_map"):
        find_weight_files(tmp_path)


def test_an_index_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text('{"weight_map": {"w": "../other.safetensors"}}')
    with pytest.raises(ValueError, match=r"outside its folder: \.\./other.safetensors"):
        find_weight_files(tmp_path)


def test_an_index_may_name_what_no_disk_can_have(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"w": "x" * 5000}}))
    with pytest.raises(FileNotFoundError, match=r"lacks x{200}…;"):
        find_weight_files(tmp_path)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.float64])
def test_weights_that_are_no_usual_numbers_are_refused(
    references: Path, tmp_path: Path, dtype: Any
) -> None:
    folder = copy_of(references / "bert", tmp_path / "model")
    name = "encoder.layer.0.output.dense.weight"
    weights = {key: np.array(value) for key, value in mx.load(str(folder / WEIGHTS)).items()}
    save_file(weights | {name: weights[name].astype(dtype)}, folder / WEIGHTS)
    with pytest.raises(ValueError, match=rf"no f32, f16 or bf16 numbers: {name} \("):
        read_pretrained(folder)


@pytest.mark.parametrize("pad", [-1, 50, 50283])
def test_a_pad_id_outside_the_vocabulary_is_refused(
    references: Path, tmp_path: Path, pad: int
) -> None:
    vocab_size = json.loads((references / "modernbert" / "config.json").read_text())["vocab_size"]
    pad = vocab_size if pad == 50 else pad
    folder = copy_of(references / "modernbert", tmp_path / "model", pad_token_id=pad)
    with pytest.raises(ValueError, match=rf"pad_token_id (is )?{pad}, .*vocabulary"):
        read_pretrained(folder)


@pytest.mark.parametrize("case", ["bert", "modernbert"])
def test_the_architecture_is_recognised_without_model_type(
    case: str, references: Path, tmp_path: Path
) -> None:
    folder = copy_of(references / case, tmp_path / "model", model_type=None)
    assert read_pretrained(folder).architecture == case
    ours, theirs = (
        named_parameters(load_encoder(read_pretrained(path)))
        for path in (folder, references / case)
    )
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not mx.array_equal(ours[name], theirs[name])] == []


def test_a_config_of_another_architecture_is_noticed(references: Path, tmp_path: Path) -> None:
    folder = copy_of(references / "bert", tmp_path / "model", model_type="modernbert")
    with pytest.raises(ValueError, match="says modernbert, but the weights are those of a bert"):
        read_pretrained(folder)
    other = copy_of(references / "bert", tmp_path / "other", model_type="roberta")
    with pytest.raises(
        ValueError, match="is a RoBERTa; supported are bert, modernbert and neobert checkpoints"
    ):
        read_pretrained(other)


@pytest.mark.parametrize("model_type", ["bert", None])
def test_an_unknown_prefix_is_named(
    model_type: str | None, references: Path, tmp_path: Path
) -> None:
    folder = copy_of(references / "bert", tmp_path / "model", model_type=model_type)
    change_weights(folder, lambda weights: {f"roberta.{name}": weights[name] for name in weights})
    with pytest.raises(ValueError, match=r"roberta\."):
        read_pretrained(folder)


def test_sizes_cannot_be_read_off_a_folder_that_lost_weights(
    references: Path, tmp_path: Path
) -> None:
    folder = copy_of(references / "bert", tmp_path / "model", hidden_size=None)
    change_weights(
        folder, lambda weights: {name: weights[name] for name in weights if "word" not in name}
    )
    with pytest.raises(
        ValueError, match=r"lacks embeddings.words.weight: the folder is incomplete"
    ):
        read_pretrained(folder)


def test_labels_that_disagree_with_the_classifier_are_refused(
    references: Path, tmp_path: Path
) -> None:
    source = references / "bert_classification"
    rows = load_model(source).head.output_size
    names = {str(i): f"L{i}" for i in range(rows + 1)}
    folder = copy_of(source, tmp_path / "model", id2label=names)
    with pytest.raises(ValueError, match=rf"has {rows + 1} labels, but.* has {rows} rows"):
        load_model(folder)


def test_a_head_section_that_disagrees_with_the_classifier_is_refused(
    references: Path, tmp_path: Path
) -> None:
    source = references / "bert_classification"
    rows = load_model(source).head.output_size
    head = {"head_type": "multiclass", "num_labels": rows + 2, "transform": "tanh"}
    folder = copy_of(source, tmp_path / "model", head=head)
    with pytest.raises(ValueError, match=rf"classifier.weight has shape \[{rows}, .*\[{rows + 2},"):
        load_model(folder)


def test_several_numbers_per_row_give_a_head_of_steps(references: Path, tmp_path: Path) -> None:
    folder = copy_of(
        references / "bert_classification", tmp_path / "model", problem_type="regression"
    )
    assert load_model(folder).head.head_type == "timeseries"


def test_several_labels_at_once_give_a_multilabel_head(references: Path, tmp_path: Path) -> None:
    folder = copy_of(
        references / "bert_classification",
        tmp_path / "model",
        problem_type="multi_label_classification",
    )
    assert load_model(folder).head.head_type == "multilabel"


def test_shapes_alone_fit_like_the_weights(references: Path) -> None:
    sketched = read_pretrained(references / "bert", shapes_only=True)
    full = read_pretrained(references / "bert")
    assert sketched.config == full.config
    assert {name: weight.shape for name, weight in sketched.weights.items()} == {
        name: weight.shape for name, weight in full.weights.items()
    }
