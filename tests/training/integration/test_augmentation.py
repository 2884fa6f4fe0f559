"""Runs with changed rows: resumed bit for bit, validated on rows as they are, and answered in several variants."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.data.prepare import prepare
from bert_playground.data.reading import chunks
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.inference import Predictor
from bert_playground.training import run_training
from bert_playground.training.pretraining import run_pretraining

pytestmark = pytest.mark.medium

CHANGES = {
    "augmentation.column_shuffle": 1.0,
    "augmentation.column_dropout": 0.1,
    "augmentation.token_masking": 0.1,
    "augmentation.value_swap": 0.1,
}


@pytest.mark.parametrize("streaming", [False, True])
def test_a_run_resumes_bit_for_bit_in_the_middle_of_an_epoch(
    check_exact_resume, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 7)
    settings = {**CHANGES, "data.streaming": streaming, "checkpoint.save_steps": 4}
    check_exact_resume(**settings, **{"training.batch_size": 8})


def test_training_sees_changed_rows_and_validation_the_rows_as_they_are(make_config) -> None:
    plain = run_training(make_config(**{"training.max_steps": 4}))
    changed = run_training(make_config(**CHANGES, **{"training.max_steps": 4}))
    losses = [run.run_dir.metrics.read_text() for run in (plain, changed)]
    assert losses[0] != losses[1]
    assert (
        "augmentation: column_shuffle 1, column_dropout 0.1"
        in changed.run_dir.train_log.read_text()
    )
    # The checkpoint scores the validation rows, unchanged, as training said it would.
    frame = read_table(make_config().data.train)
    assert changed.best_checkpoint is not None
    predictor = Predictor.load(changed.best_checkpoint, precision="f32")
    val = prepare(make_config()).val
    assert predictor.score(val).loss == pytest.approx(changed.metrics["val_loss"], rel=1e-5)
    assert frame.height > val.height


@pytest.fixture(scope="module")
def trained(fruit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run folder for each kind of task, and an ensemble."""
    output = tmp_path_factory.mktemp("output")
    runs = {}
    for target in ("ripe", "price", "kind"):
        others = {"ripe", "price", "kind"} - {target}
        (output / f"{target}.yaml").write_text(
            f"data: {{target: {target}, drop_columns: [{', '.join(sorted(others))}]}}\n"
            "model: {hidden_size: 16, num_layers: 1, num_heads: 2, vocab_size: 200}\n"
            "head: {uncertainty_estimation: " + str(target == "price").lower() + "}\n"
            # So small a model hardly minds the order of the columns, but it minds what is masked.
            "augmentation: {column_shuffle: 1.0, token_masking: 0.3}\n"
            "training: {epochs: 3, use_compilation: false, precision: f32}\n"
            "optimizer: {learning_rate: 1e-2}\n"
        )
        invoke(
            "train",
            "--train",
            fruit,
            "--config",
            output / f"{target}.yaml",
            "--output",
            output / target,
        )
        (runs[target],) = (output / target).iterdir()
    config = output / "ripe.yaml"
    invoke(
        "train", "--train", fruit, "--config", config, "--ensemble", 2, "--output", output / "both"
    )
    (runs["ensemble"],) = (output / "both").iterdir()
    return runs


def invoke(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.mark.parametrize("task", ["ripe", "kind"])
def test_variants_are_averaged(trained: dict[str, Path], fruit: Path, task: str) -> None:
    predictor, frame = Predictor.load(trained[task], precision="f32"), read_table(fruit)
    each = [
        predictor.score(predictor.pipeline.make_loader(frame, variant=number)).scores
        for number in range(4)
    ]
    assert np.abs(each[1] - each[0]).max() > 1e-3
    answer = predictor.score(frame, num_variants=4)
    np.testing.assert_allclose(answer.scores, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_array_equal(answer.labels, predictor.score(frame).labels)
    assert answer.loss is None
    np.testing.assert_array_equal(predictor.predict(frame, num_variants=4), answer.scores)


def test_variants_of_a_mean_and_a_deviation_are_a_mixture(
    trained: dict[str, Path], fruit: Path
) -> None:
    predictor, frame = Predictor.load(trained["price"], precision="f32"), read_table(fruit)
    loaders = [predictor.pipeline.make_loader(frame, variant=number) for number in range(3)]
    each = np.stack([predictor.score(loader).scores for loader in loaders])
    means, deviations = each[..., 0], each[..., 1]
    variance = np.mean(deviations**2 + means**2, axis=0) - means.mean(axis=0) ** 2
    expected = np.stack([means.mean(axis=0), np.sqrt(variance)], axis=1)
    found = predictor.predict(frame, num_variants=3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_ensemble_averages_the_variants_of_its_members(
    trained: dict[str, Path], fruit: Path
) -> None:
    together, frame = load_predictor(trained["ensemble"], precision="f32"), read_table(fruit)
    each = [member.predict(frame, num_variants=3) for member in together.members]
    found = together.predict(frame, num_variants=3)
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)


def test_the_command_answers_the_same_at_every_call_and_in_chunks(
    trained: dict[str, Path], fruit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(name: str, *more: object) -> pl.DataFrame:
        output = tmp_path / name
        asked = ("--checkpoint", trained["ripe"], "--test", fruit, "--output", output, "--proba")
        invoke("predict", *asked, "--precision", "f32", *more)
        return pl.read_csv(output)

    plain, several = answer("plain.csv"), answer("tta.csv", "--tta", 4)
    assert not plain.equals(several)
    assert answer("again.csv", "--tta", 4).equals(several)
    monkeypatch.setattr("bert_playground.data.reading.table_stream.LARGE_BYTES", 1)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 7)
    streamed = answer("streamed.csv", "--tta", 4)
    assert streamed["row"].equals(several["row"])
    for column in several.columns[1:]:
        np.testing.assert_allclose(streamed[column], several[column], atol=1e-5)


def test_evaluate_scores_the_averaged_answers(trained: dict[str, Path], fruit: Path) -> None:
    asked = ("--checkpoint", trained["kind"], "--data", fruit, "--json")
    plain, several = (invoke("evaluate", *asked, *more).output for more in ((), ("--tta", 4)))
    assert '"loss"' in plain
    assert '"loss"' not in several
    assert '"accuracy"' in several


def test_where_nothing_varies_the_command_says_so(make_config, fruit: Path) -> None:
    drop = ["row", "size", "shop", "price", "kind"]
    run = run_training(make_config(**{"data.drop_columns": drop, "training.max_steps": 1}))
    asked = ["evaluate", "--checkpoint", run.run_dir.path, "--data", fruit, "--tta", 3]
    result = CliRunner().invoke(app, [str(argument) for argument in asked])
    assert result.exit_code == 2
    assert "nothing to vary: a row is a single piece" in result.stderr
    assert "leave out --tta" in result.stderr


def test_impossible_changes_are_refused_before_training(make_config) -> None:
    with pytest.raises(
        ValueError, match=r"augmentation.column_dropout = 1.5.*less than or equal to 0.9"
    ):
        make_config(**{"augmentation.column_dropout": 1.5})
    with pytest.raises(ValueError, match="number_jitter cannot apply: no column holds numbers"):
        run_training(make_config(**{"augmentation.number_jitter": 0.1}))


def test_pretraining_refuses_what_it_would_not_do(make_config) -> None:
    with pytest.raises(ValueError, match="augmentation: hidden words are drawn anew anyway"):
        run_pretraining(make_config(**CHANGES))


def test_variants_below_one_and_of_loaders_are_refused(
    trained: dict[str, Path], fruit: Path
) -> None:
    predictor, frame = Predictor.load(trained["ripe"]), read_table(fruit)
    with pytest.raises(ValueError, match="num_variants is 0, expected at least 1"):
        predictor.score(frame, num_variants=0)
    with pytest.raises(ValueError, match="give the table itself"):
        predictor.score(predictor.pipeline.make_loader(frame), num_variants=2)
