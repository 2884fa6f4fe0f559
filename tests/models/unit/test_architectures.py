"""A checkpoint is looked at before anything else: other architectures and computations are refused by name."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground.config.load import load_config
from bert_playground.config.schema import RunConfig
from bert_playground.models.architectures import OTHERS, look_at_checkpoint
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.checkpoint import load_model, save_model
from bert_playground.models.factory import create_from_config, create_model
from bert_playground.models.huggingface import read_pretrained
from bert_playground.models.sizes import fit_to_checkpoint
from bert_playground.tasks import TASKS
from bert_playground.training.pretraining import run_pretraining
from bert_playground.training.run import run_training
from tests.models.tiny import make_rows

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 128,
}


def save(folder: Path, architecture: str = "bert", **values: Any) -> Path:
    save_model(create_model(architecture, **SIZES), folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


@pytest.mark.parametrize("model_type", OTHERS)
def test_another_architecture_is_called_by_its_name(model_type: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    message = (
        rf"{tmp_path} is {OTHERS[model_type]}; supported are bert, modernbert and neobert "
        "checkpoints, such as google-bert/bert-base-uncased"
    )
    with pytest.raises(ValueError, match=message):
        look_at_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_pretrained(tmp_path)


@pytest.mark.parametrize("run", [run_training, run_pretraining])
def test_it_is_refused_before_the_table_is_read(run: Any, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", model_type="roberta")
    flags = {
        "model.pretrained": str(folder),
        "data.train": tmp_path / "no_such_table.csv",
        "training.output_dir": tmp_path / "output",
    }
    with pytest.raises(ValueError, match="is a RoBERTa"):
        run(*load_config(None, {}, flags))
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("architecture", ENCODERS)
@pytest.mark.parametrize(
    "flag", ["is_decoder", "add_cross_attention", "is_encoder_decoder", "is_causal"]
)
def test_flags_that_change_the_computation_are_refused(
    architecture: str, flag: str, tmp_path: Path
) -> None:
    assert look_at_checkpoint(save(tmp_path / "plain", architecture, **{flag: False}))
    folder = save(tmp_path / "model", architecture, **{flag: True})
    for read in (look_at_checkpoint, read_pretrained):
        with pytest.raises(ValueError, match=rf"config.json: .*{flag} is True, expected False"):
            read(folder)


@pytest.mark.parametrize(
    ("architecture", "values"),
    [
        ("bert", {"position_embedding_type": "relative_key"}),
        ("bert", {"alibi_starting_size": 512}),
        ("bert", {"pruned_heads": {"0": [1]}}),
        ("neobert", {"rope": False}),
    ],
)
def test_options_that_are_not_implemented_are_refused(
    architecture: str, values: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        look_at_checkpoint(save(tmp_path / "model", architecture, **values))


def ask(folder: Path, **flags: Any) -> tuple[RunConfig, dict[str, str]]:
    return load_config(None, {}, {"model.pretrained": str(folder), **flags})


def test_a_length_that_nobody_asked_for_becomes_that_of_the_checkpoint(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    config, sources = fit_to_checkpoint(*ask(folder))
    assert config.data.max_length == 128
    assert sources["data.max_length"] == "checkpoint"
    preset = load_config("kaggle", {}, {"model.pretrained": str(folder)})
    assert fit_to_checkpoint(*preset)[0].data.max_length == 128
    assert fit_to_checkpoint(RunConfig(model=config.model), {})[0].data.max_length == 128


def test_a_length_that_fits_stays(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", max_position_embeddings=512)
    assert fit_to_checkpoint(*ask(folder))[0].data.max_length == 256
    assert fit_to_checkpoint(*ask(folder, **{"data.max_length": 64}))[0].data.max_length == 64


@pytest.mark.parametrize("place", ["flag", "--set", "environment", "file", "object"])
def test_a_length_that_was_asked_for_is_refused(place: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    flags: dict[str, Any] = {"model.pretrained": str(folder)}
    source, assigned, environment = None, [], {}
    if place == "flag":
        flags["data.max_length"] = 256
    elif place == "--set":
        assigned = ["data.max_length=256"]
    elif place == "environment":
        environment = {"BERT_DATA__MAX_LENGTH": "256"}
    elif place == "file":
        source = tmp_path / "mine.yaml"
        source.write_text("data:\n  max_length: 256\n")
    config, sources = load_config(source, environment, flags, assigned)
    sources = {} if place == "object" else sources
    if place == "object":
        data = config.data.model_copy(update={"max_length": 256})
        config = config.model_copy(update={"data": data})
    with pytest.raises(ValueError, match=r"data.max_length is 256 \(.*128 positions; use"):
        fit_to_checkpoint(config, sources)


def test_what_nothing_here_computes_is_refused_of_a_head_alone(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", "modernbert", head=None, classifier_activation="silu")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in values.items() if k != "head"})
    )
    look_at_checkpoint(folder)
    with pytest.raises(ValueError, match="classifier_activation 'silu'"):
        load_model(folder)


def test_what_the_published_code_would_compute_otherwise_has_a_type_of_its_own(
    tmp_path: Path,
) -> None:
    for architecture, options in (
        ("modernbert", {"norm_type": "rms"}),
        ("neobert", {"rope_theta": 500.0}),
    ):
        folder = tmp_path / architecture
        model = create_model(architecture, **SIZES, **options).eval()
        save_model(model, folder)
        values = json.loads((folder / "config.json").read_text())
        assert values["model_type"] == f"bert_playground_{architecture}"
        assert "auto_map" not in values
        rows = make_rows([9, 4])
        expected = model(rows)
        assert mx.array_equal(load_model(folder)(rows), expected)
        # As earlier versions wrote it.
        values["model_type"] = architecture
        (folder / "config.json").write_text(json.dumps(values))
        assert mx.array_equal(load_model(folder)(rows), expected)


@pytest.mark.parametrize("architecture", ENCODERS)
def test_what_the_published_code_computes_alike_keeps_its_type(
    architecture: str, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", architecture)
    assert json.loads((folder / "config.json").read_text())["model_type"] == architecture


def test_the_options_of_an_architecture_are_settings(tmp_path: Path) -> None:
    source = tmp_path / "mine.yaml"
    source.write_text(
        "model: {norm_type: rms, activation: SwiGLU, local_attention: 32, "
        "global_attn_every_n_layers: 2, hidden_size: 32, num_heads: 2}"
    )
    config, _ = load_config(source, {})
    encoder = create_from_config(config, TASKS["binary"], 2, vocab_size=50).encoder.config
    assert encoder.norm_type == "rms"
    assert encoder.hidden_activation == "silu"
    assert encoder.half_windows == (None, 16, None, 16)
    bert = config.model_copy(
        update={"model": config.model.model_copy(update={"architecture": "bert"})}
    )
    message = "a bert has no such options: model.norm_type = 'rms', model.local_attention = 32"
    with pytest.raises(ValueError, match=message):
        create_from_config(bert, TASKS["binary"], 2, vocab_size=50)
    folder = save(tmp_path / "model", "modernbert")
    asked = {"model.pretrained": str(folder), "model.norm_type": "rms"}
    with pytest.raises(ValueError, match=r"model.norm_type is 'rms' \(the checkpoint: layer\)"):
        fit_to_checkpoint(*load_config(None, {}, asked))
