"""Merging: who wins, what YAML means, and what a mistake is answered."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.config import RunConfig, load_config
from bert_playground.config.load import SPELLINGS, paths
from bert_playground.config.read import presets

SEED_PRESETS = {
    "quick", "development", "production", "kaggle", "titanic_competition", "titanic_lora",
    "no_compile", "best_model_only", "competition_best_only", "test",
}  # fmt: skip

# Verbatim from the seed documents.
CUSTOM_CONFIG = """\
# custom_config.yaml
training:
  epochs: 10
  batch_size: 32
  gradient_accumulation_steps: 2

optimizer:
  type: adamw
  learning_rate: 2e-5
  weight_decay: 0.01

scheduler:
  type: cosine
  warmup_steps: 500

data:
  max_length: 256
  num_workers: 8
  prefetch_size: 4
"""
CHECKPOINT_SECTION = """\
checkpoint:
  enable_checkpointing: true
  save_best_model: true
  save_best_only: true  # Skip regular checkpoints
  best_model_metric: "val_accuracy"
  best_model_mode: "max"
"""
MODEL_SECTION = """\
model:
  architecture: modernbert
  hidden_size: 768
  num_layers: 12
  num_heads: 12
  max_length: 512

head:
  type: multiclass
  num_labels: 3
  dropout: 0.1

lora:
  enabled: true
  preset: balanced
  target_modules: ["query", "value", "key"]
"""


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def mistakes(source: Path | None, **more: dict[str, object]) -> str:
    with pytest.raises(ValueError, match="configuration has mistakes") as caught:
        load_config(source, **{"environment": {}, **more})
    return str(caught.value)


def test_nothing_given_is_the_default():
    config, sources = load_config(environment={})
    assert config == RunConfig()
    assert set(sources.values()) == {"default"}
    assert set(sources) == set(paths())


def test_flags_beat_environment_beats_file_beats_default(tmp_path):
    file = write(tmp_path, "training: {epochs: 1, batch_size: 1, seed: 1}")
    environment = {"BERT_TRAINING__BATCH_SIZE": "2", "BERT_TRAINING__SEED": "2"}
    config, sources = load_config(file, environment, {"training.seed": 3})
    assert (config.training.epochs, config.training.batch_size, config.training.seed) == (1, 2, 3)
    assert sources["training.epochs"] == f"file {file}"
    assert sources["training.batch_size"] == "environment BERT_TRAINING__BATCH_SIZE"
    assert sources["training.seed"] == "flag"
    assert sources["training.logging_steps"] == "default"


LAYERS = ["default", "file", "environment", "flag"]


@given(st.sets(st.sampled_from(LAYERS[1:])))
def test_the_strongest_place_that_spoke_wins(tmp_path_factory, spoke):
    value = {"default": 0, "file": 1, "environment": 2, "flag": 3}
    file = write(tmp_path_factory.mktemp("layers"), f"training: {{seed: {value['file']}}}")
    config, sources = load_config(
        file if "file" in spoke else None,
        {"BERT_TRAINING__SEED": "2"} if "environment" in spoke else {},
        {"training.seed": 3} if "flag" in spoke else {},
    )
    winner = max(spoke, key=LAYERS.index, default="default")
    assert config.training.seed == value[winner]
    assert sources["training.seed"].startswith(winner)


def test_the_seeds_ten_presets_load_by_name():
    assert set(presets()) >= SEED_PRESETS
    for name in presets():
        config, sources = load_config(name, {})
        assert config != RunConfig(), name
        assert f"preset {name}" in sources.values()


@pytest.mark.medium
def test_presets_travel_in_the_wheel(root, tmp_path):
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"] == {"configs": "bert_playground/configs"}
    shutil.copytree(root / "src/bert_playground", tmp_path / "bert_playground")
    shutil.copytree(root / "configs", tmp_path / "bert_playground/configs")  # as installed
    code = "from bert_playground.config.read import presets; print(*presets().values())"
    environment = {"PYTHONPATH": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert len(found) >= len(SEED_PRESETS)
    assert all(file.startswith(str(tmp_path)) for file in found)


def test_presets_load_by_path_too(root, monkeypatch, tmp_path):
    by_name, _ = load_config("production", {})
    assert load_config(root / "configs/production.json", {})[0] == by_name
    monkeypatch.chdir(tmp_path)  # away from a checkout, and with the seeds' other suffix
    assert load_config("configs/production.yaml", {})[0] == by_name


def test_the_seeds_examples_load(tmp_path):
    config, _ = load_config(write(tmp_path, CUSTOM_CONFIG), {})
    assert config.optimizer.learning_rate == 2e-5
    assert config.scheduler.warmup_steps == 500
    assert (config.data.num_workers, config.data.prefetch_size) == (8, 4)
    config, _ = load_config(write(tmp_path, CHECKPOINT_SECTION), {})
    assert config.checkpoint.save_best_only
    assert config.checkpoint.best_model_metric == "val_accuracy"
    config, _ = load_config(write(tmp_path, MODEL_SECTION), {})
    assert (config.model.num_layers, config.data.max_length) == (12, 512)
    assert config.lora.target_modules == ("query", "value", "key")
    assert (config.head.type, config.head.num_labels) == ("multiclass", 3)


def test_every_other_spelling_leads_somewhere(tmp_path):
    assert set(SPELLINGS.values()) <= set(paths())
    assert not set(SPELLINGS) & set(paths())
    config, sources = load_config(write(tmp_path, "model: {num_hidden_layers: 7}"), {})
    assert config.model.num_layers == 7
    assert sources["model.num_layers"].startswith("file")


def test_yaml_means_what_people_mean(tmp_path):
    text = (
        "data: {target: no, id_column: 007, text_columns: [on, 2024-01-01, 12:30, y]}\n"
        "training: {use_compilation: off, max_steps: 1e3, epochs: 010}\n"
        "optimizer: {learning_rate: 2e-5, eps: 1e-8, weight_decay: .1}\n"
        "model: {architecture: modernbert_with_head}\n"
        "scheduler:\n"
    )
    config, _ = load_config(write(tmp_path, text), {})
    assert (config.data.target, config.data.id_column) == ("no", "007")
    assert config.data.text_columns == ("on", "2024-01-01", "12:30", "y")
    assert config.training.use_compilation is False
    assert (config.training.max_steps, config.training.epochs) == (1000, 10)
    assert (config.optimizer.learning_rate, config.optimizer.eps) == (2e-5, 1e-8)
    assert config.optimizer.weight_decay == 0.1
    assert config.model.architecture == "modernbert"


def test_json_gives_the_same_as_yaml(tmp_path):
    content = {"training": {"epochs": 3}, "data": {"drop_columns": ["Name"]}}
    file = write(tmp_path, json.dumps(content), "config.json")
    config, _ = load_config(file, {})
    assert config.training.epochs == 3
    assert config.data.drop_columns == ("Name",)


def test_environment_values_are_read_like_yaml():
    environment = {
        "BERT_OPTIMIZER__LEARNING_RATE": "2e-5",
        "BERT_DATA__DROP_COLUMNS": "[Name, Ticket]",
        "BERT_DATA__TARGET": "price: net",
        "BERT_TRACKING__MLFLOW": "yes",
        "BERT_TRAINING__EPOCHS": "",  # set to nothing is not set
        "BERT_KERNELS": "off",  # not a setting of a run
    }
    config, _ = load_config(None, environment)
    assert config.optimizer.learning_rate == 2e-5
    assert config.data.drop_columns == ("Name", "Ticket")
    assert config.data.target == "price: net"
    assert config.tracking.mlflow
    assert config.training.epochs is None


def test_every_mistake_is_listed_with_source_and_nearest_key(tmp_path):
    file = write(
        tmp_path, "training: {epoch: 3}\nepochs: 1\nmodel: 4\noptimizer: {type: adamx}\nfoo: 1"
    )
    message = mistakes(
        file, environment={"BERT_TRAINING__SEED": "-1"}, flags={"data.task": "binry"}
    )
    assert f"training.epoch (file {file}): unknown key; did you mean 'training.epochs'?" in message
    assert f"epochs (file {file}): unknown key; did you mean 'training.epochs'?" in message
    assert "model (file" in message
    assert "expected keys under it such as pretrained" in message
    assert "optimizer.type = 'adamx'" in message
    assert "did you mean 'adam'?" in message
    assert "foo (file" in message
    assert "training.seed = -1 (environment BERT_TRAINING__SEED): should be greater than" in message
    assert "data.task = 'binry' (flag --task)" in message
    assert "did you mean 'binary'?" in message


def test_a_word_where_a_list_belongs_says_how_to_write_a_list(tmp_path):
    message = mistakes(write(tmp_path, "data: {drop_columns: Name}"))
    assert "should be a list, such as [Name, Ticket]" in message


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="no preset is called 'qick'; did you mean 'quick'"):
        load_config("qick", {})


def test_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no configuration file .*absent\.yaml"):
        load_config(tmp_path / "absent.yaml", {})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.yaml", b"- 1\n- 2", "expected sections"),
        ("twice.yaml", b"training: {epochs: 1}\ntraining: {seed: 1}", "'training' stands twice"),
        ("broken.yaml", b"training: [", "cannot be read"),
        ("broken.json", b'{"training": ', "cannot be read"),
        ("latin.yaml", "data: {target: Straße}".encode("latin-1"), "not UTF-8"),
        ("unsafe.yaml", b"data: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_unreadable_file_names_file_and_reason(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        load_config(tmp_path / name, {})
    assert name in str(caught.value)


def test_empty_file_asks_for_nothing(tmp_path):
    assert load_config(write(tmp_path, ""), {})[0] == RunConfig()


def test_shuffled_columns_are_an_augmentation(tmp_path: Path) -> None:
    path = tmp_path / "shuffled.yaml"
    path.write_text("data: {column_order: shuffled}\n")
    config, sources = load_config(path, {})
    assert config.augmentation.column_shuffle == 1.0
    assert config.data.column_order == RunConfig().data.column_order
    assert sources["augmentation.column_shuffle"] == f"file {path}"


def test_a_setting_of_several_types_has_one_line():
    message = mistakes(None, flags={"training.batch_size": "many", "training.freeze": "embedings"})
    batch_size, freeze = message.splitlines()[1:]
    assert "should be a valid integer" in batch_size
    assert "or should be 'auto'" in batch_size
    assert "did you mean 'embeddings'?" in freeze


def test_a_batch_size_is_a_number_or_auto():
    for asked, expected in (("16", 16), (16, 16), ("auto", "auto")):
        config, _ = load_config(flags={"training.batch_size": asked})
        assert config.training.batch_size == expected
    with pytest.raises(ValueError, match="batch_size auto is settled by `bert train`"):
        assert config.training.rows_per_batch
