"""create_trainer(model, config).train(rows): the Python door gives what `bert train` gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bert_playground.cli.app import app
from bert_playground.config import RunConfig, load_config
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.inference import Predictor
from bert_playground.models.checkpoint import load_model
from bert_playground.models.ensemble import Ensemble
from bert_playground.models.factory import (
    create_ensemble,
    create_model,
    load_from_huggingface,
)
from bert_playground.training import create_trainer
from bert_playground.training.model_trainer import ModelTrainer

pytestmark = pytest.mark.medium

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 300,
    "max_position_embeddings": 64,
}
WORDS = ["red", "blue", "tall", "small"]
random = np.random.default_rng(0)
CHOSEN = [sorted(random.choice(4, 2, replace=False).tolist()) for _ in range(120)]
TEXTS = [f"{WORDS[first]} {WORDS[second]} {n}" for n, (first, second) in enumerate(CHOSEN)]
IS_RED = ["yes" if 0 in chosen else "no" for chosen in CHOSEN]
FRAME = pl.DataFrame({"text": TEXTS, "is_red": IS_RED})


def settings_for(output: Path, epochs: int) -> dict[str, Any]:
    return {
        "training": {
            "epochs": epochs,
            "batch_size": 16,
            "output_dir": str(output),
            "use_compilation": False,
        },
        "optimizer": {"learning_rate": 1e-2},
        "checkpoint": {"save_best_only": True},
    }


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Long enough to learn."""
    return settings_for(tmp_path / "output", epochs=6)


@pytest.fixture
def brief(tmp_path: Path) -> dict[str, Any]:
    """Where it does not matter what is learnt."""
    return settings_for(tmp_path / "output", epochs=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ModelTrainer:
    """A trainer that has learnt FRAME; its run is only read."""
    config = settings_for(tmp_path_factory.mktemp("trained"), epochs=6)
    trainer = create_trainer(create_model("bert", num_labels=2, **SIZES), config)
    trainer.train(FRAME)
    return trainer


@pytest.mark.parametrize("form", ["path", "frame", "pair"])
def test_rows_train_a_model_whose_checkpoint_answers_rows(form: str, config, tmp_path) -> None:
    FRAME.write_csv(tmp_path / "train.csv")
    data = {"path": tmp_path / "train.csv", "frame": FRAME, "pair": (TEXTS, IS_RED)}[form]
    trainer = create_trainer(create_model("bert", num_labels=2, **SIZES), config)
    state = trainer.train(data)
    assert state.best_metrics["val_accuracy"] > 0.9
    predictor = Predictor.load(trainer.path)
    assert predictor.pipeline.target == ("label" if form == "pair" else "is_red")
    right = predictor.labels(FRAME.select("text")) == pl.Series(IS_RED)
    assert right.mean() > 0.9
    summary = json.loads((trainer.path / "summary.json").read_text())
    assert (summary["train_rows"], summary["val_rows"]) == (96, 24)
    assert {"config.json", "environment.json", "train.log", "metrics.jsonl"} <= {
        path.name for path in trainer.path.iterdir()
    }


def test_bert_predict_answers_from_it(brief, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    trainer = create_trainer(create_model("modernbert", num_labels=2, **SIZES), brief)
    trainer.train(FRAME.to_dicts(), FRAME[:20].to_dicts())
    FRAME[:5].select("text").write_csv(tmp_path / "test.csv")
    arguments = ["predict", "--test", str(tmp_path / "test.csv"), "--checkpoint"]
    done = CliRunner().invoke(
        app, [*arguments, str(trainer.path), "--output", str(tmp_path / "p.csv")]
    )
    assert done.exit_code == 0, done.output
    assert read_table(tmp_path / "p.csv").height == 5


@pytest.mark.parametrize("kind", ["matrix", "lists"])
def test_a_head_with_adaptive_threshold_learns_thresholds(kind: str, brief) -> None:
    matrix = [[int(number in chosen) for number in range(4)] for chosen in CHOSEN]
    labels = [[WORDS[number] for number in chosen] for chosen in CHOSEN]
    head = {"head_type": "multilabel", "num_labels": 4, "adaptive_threshold": True}
    model = create_model("bert", **head, **SIZES)
    trainer = create_trainer(model, brief)
    trainer.train((TEXTS, matrix if kind == "matrix" else labels))
    predictor = Predictor.load(trainer.path)
    assert predictor.thresholds is not None
    assert model.head.config.thresholds is not None
    told = json.loads((trainer.path / "summary.json").read_text())["thresholds"]
    assert tuple(told["thresholds"].values()) == predictor.thresholds


def test_members_of_an_ensemble_train_on_the_same_rows(config) -> None:
    trainer = create_trainer(create_ensemble("bert", 2, num_labels=2, **SIZES), config)
    states = trainer.train(FRAME)
    assert [state.epoch for state in states] == [6, 6]
    answers = load_predictor(trainer.path).labels(FRAME.select("text"))
    assert (answers == pl.Series(IS_RED)).mean() > 0.9


def test_a_checkpoint_goes_on_with_its_own_tokenizer(trained, brief) -> None:
    model = load_model(trained.path / "checkpoints/best")
    again = create_trainer(model, brief | {"optimizer": {"learning_rate": 1e-6}})
    again.train(FRAME)
    assert again.pipeline.tokenizer.to_json() == trained.pipeline.tokenizer.to_json()
    assert again.state.metrics["val_accuracy"] == trained.state.best_metrics["val_accuracy"]


@pytest.mark.parametrize("num_members", [1, 2])
def test_a_checkpoints_classifier_is_matched_by_the_names_of_classes(
    num_members, trained, brief
) -> None:
    folder = trained.path / "checkpoints/best"
    still = brief | {"optimizer": {"learning_rate": 1e-9}}

    def go_on(labels: list[str]) -> float:
        members = [load_model(folder) for _ in range(num_members)]
        again = create_trainer(members[0] if num_members == 1 else Ensemble(members), still)
        state = again.train((TEXTS, labels))
        states = state if isinstance(state, list) else [state]
        return min(each.best_metrics["val_accuracy"] for each in states)

    # Capitals come first, so that the classes change places.
    assert go_on([label.replace("yes", "YES") for label in IS_RED]) > 0.9
    with pytest.raises(
        ValueError, match=r"answers no, yes, but 'label' has bad, good; make the"
    ) as e:
        go_on(["good" if label == "yes" else "bad" for label in IS_RED])
    call = str(e.value).split("make the model with ")[1].split(", which")[0]
    fresh = eval(call, {"load_from_huggingface": load_from_huggingface})
    renamed = ["good" if label == "yes" else "bad" for label in IS_RED]
    assert create_trainer(fresh, still).train((TEXTS, renamed)).epoch == 1


def test_a_checkpoint_says_where_its_table_was_written_otherwise(brief) -> None:
    from bert_playground.logger import logger

    frame = pl.DataFrame({"member": ["True", "False"] * 60, "text": TEXTS, "is_red": IS_RED})
    trainer = create_trainer(create_model("bert", num_labels=2, **SIZES), brief)
    trainer.train(frame)
    lines: list[str] = []
    logger.enable("bert_playground")
    sink = logger.add(
        lambda message: lines.append(str(message)), level="WARNING", format="{message}"
    )
    for member in (["True", "False"] * 60, ["1", "0"] * 60):
        again = create_trainer(load_model(trainer.path / "checkpoints/best"), brief)
        again.train(frame.with_columns(member=pl.Series(member)), frame[:20])
    logger.remove(sink)
    (said,) = [line for line in lines if "differs from that of" in line]
    assert "- member: '0' was 'False' in training" in said
    assert "nothing is repaired" in said


def test_rows_are_no_longer_and_no_wider_than_the_model(brief) -> None:
    sizes = SIZES | {"vocab_size": 100, "max_position_embeddings": 16}
    trainer = create_trainer(create_model("bert", num_labels=2, **sizes), brief)
    trainer.train(FRAME)
    assert trainer.pipeline.max_length == 16
    assert trainer.pipeline.vocab_size <= 100


def test_a_preset_adapts_to_the_model_where_a_wish_is_refused(brief) -> None:
    model = create_model("bert", num_labels=2, **SIZES)
    asked, sources = load_config("kaggle", environment={}, flags=flatten(brief))
    trainer = ModelTrainer(model, asked, sources)
    trainer.train(FRAME)
    assert trainer.pipeline is not None
    assert trainer.pipeline.max_length == 64
    said = (trainer.path / "train.log").read_text()
    assert "no effect: data.max_length = 256 (preset kaggle); 64 is used" in said


def flatten(config: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{part}.{key}": value for part, keys in config.items() for key, value in keys.items()}


def misfits() -> list[tuple[dict[str, Any], Any, Any, str]]:
    pair = (TEXTS, IS_RED)
    three = (TEXTS, [str(number % 3) for number in range(120)])
    return [
        ({"num_labels": 2}, {}, three, "the model's binary head asks for task binary"),
        ({"num_labels": 4, "head_type": "multiclass"}, {}, three, "make the model with num_labels=3"),
        ({"num_numbers": 2}, {}, pair, "reads 2 numeric features, but .* gives 0"),
        ({"vocab_size": 60}, {}, pair, "entries, but the encoder's vocab_size is 60"),
        ({}, {"data": {"max_length": 512}}, pair, "the model has 64 positions"),
        ({}, {"data": {"task": "regression"}}, pair, "make the model with head_type='regression'"),
        ({}, {}, (TEXTS, ["a"] * 120), "single class 'a'"),
    ]  # fmt: skip


@pytest.mark.parametrize(("options", "asked", "data", "message"), misfits())
def test_what_does_not_fit_is_said_and_leaves_no_folder(
    options, asked, data, message, config, tmp_path
) -> None:
    model = create_model("bert", **(SIZES | {"num_labels": 2} | options))
    with pytest.raises(ValueError, match=message):
        create_trainer(model, config | asked).train(data)
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        (3, TypeError, "config is an int, expected a RunConfig, the name of a preset"),
        ({"training": {"epoch": 3}}, ValueError, r"training.epoch \(dict\).*mean 'training.epochs'"),
        ({"traning": {}}, ValueError, "traning"),
        ({"training": 3}, ValueError, "is a section"),
        ({"training": {"epochs": "many"}}, ValueError, r"training.epochs = 'many' \(dict\)"),
        ("prodction", ValueError, "did you mean 'production'"),
    ],
)  # fmt: skip
def test_a_configuration_with_mistakes_is_refused_at_once(config, kind, message: str) -> None:
    with pytest.raises(kind, match=message):
        create_trainer(create_model("bert", num_labels=2, **SIZES), config)


def test_a_model_without_a_head_is_refused() -> None:
    encoder = create_model("bert", num_labels=2, **SIZES).encoder
    with pytest.raises(TypeError, match="model is a BertCore, expected a model with its head"):
        create_trainer(encoder)


def test_rows_and_a_loader_do_not_mix(make_model, make_loader) -> None:
    trainer = create_trainer(make_model(), RunConfig())
    with pytest.raises(TypeError, match="give two loaders, or rows for both"):
        trainer.train(make_loader(), FRAME)
    with pytest.raises(TypeError, match="give two loaders, or rows for both"):
        trainer.train(FRAME, make_loader())


@pytest.fixture(scope="module")
def fresh() -> subprocess.CompletedProcess[str]:
    """A process that imports training, logs, and prints which heavy packages that took."""
    code = (
        "import sys\n"
        "from bert_playground.models.factory import create_model\n"
        "from bert_playground.training import create_trainer\n"
        "from loguru import logger as of_the_application\n"
        "of_the_application.remove()\n"
        "from bert_playground.logger import logger\n"
        "logger.info(1)\n"
        "logger.warning(2)\n"
        "from bert_playground.logs import set_up_logs\n"
        "set_up_logs()\n"
        "of_the_application.add(sys.stderr, format='{message} of the application')\n"
        "logger.info(3)\n"
        "of_the_application.info(4)\n"
        "print({'sklearn', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules))\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_the_library_only_warns_until_it_is_asked_and_leaves_an_applications_logger_alone(
    fresh,
) -> None:
    assert fresh.stderr == "WARNING: 2\n3\n4 of the application\n"


def test_importing_training_takes_no_scikit_learn_and_no_matplotlib(fresh) -> None:
    assert fresh.stdout == "set()\n"
