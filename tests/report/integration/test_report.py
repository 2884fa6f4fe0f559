"""write_report: the numbers are those of the summary, the page needs nothing, and every kind of run has one."""

import json
import re
import shlex
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.data.prepare import prepare
from bert_playground.inference import Predictor
from bert_playground.models.factory import create_bert_with_head, create_ensemble
from bert_playground.models.tokenwise import prepack_weights
from bert_playground.run_list import read_entry
from bert_playground.runs import RunDir
from bert_playground.training import create_trainer, run_training
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.pretraining import run_pretraining
from bert_playground.training.report import write as writing
from bert_playground.training.report.gradients import explain_rows
from bert_playground.training.report.write import write_report
from tests.report.conftest import configure
from tests.report.page import Page
from tests.repository.test_documents import check

WITHOUT_NOTE = {
    "data.text_columns": [],
    "data.drop_columns": ["kind", "note", "price"],
    "training.epochs": 8,
}
FOLDS = {
    **WITHOUT_NOTE,
    "training.epochs": 2,
    "cross_validation.folds": 2,
    "cross_validation.members": ["encoder", "linear"],
}
MOST_BYTES = 2 * 2**20


@pytest.fixture(scope="module")
def page(train_once) -> Page:
    """Of a binary run."""
    return Page.read(write_report(train_once().run_dir))


def report_of(result) -> Page:
    return Page.read(write_report(result.run_dir))


def copied(result, tmp_path: Path) -> RunDir:
    shutil.copytree(result.run_dir.path, tmp_path / "run")
    return RunDir(tmp_path / "run")


@pytest.mark.medium
def test_metrics_are_those_of_the_summary(page, train_once):
    summary = json.loads(train_once().run_dir.summary.read_text())
    table = page.table("Metrics")
    assert len(table.rows) == len(summary["metrics"]) + 1
    for name, value in summary["metrics"].items():
        star = " *" if name == summary["monitor"] else ""
        assert table.row(name.removeprefix("val_") + star)[0] == value
    assert table.row("accuracy")[-1] == summary["baseline"]["val_accuracy"]


def test_what_is_computed_again_says_the_same(page, train_once):
    summary = train_once().summary
    (right, rows) = re.search(r"(\d+) of (\d+) rows are right", page.texts["answers"]).groups()
    assert int(rows) == summary["val_rows"]
    assert int(right) / int(rows) == pytest.approx(summary["metrics"]["val_accuracy"])
    area = re.search(r"ROC; area (\d\.\d+)", page.texts["answers"])[1]
    assert float(area) == pytest.approx(summary["metrics"]["val_roc_auc"], abs=1e-3)
    assert page.table("Each class").row("1")[-1] == pytest.approx(
        summary["metrics"]["val_f1"], abs=1e-9
    )
    assert "in the summary" not in page.texts["results"]


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert page.count("script") == page.count("link") == page.count("img") == 0
    links = [
        value for _, found in page.tags for name, value in found.items() if name in ("href", "src")
    ]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "url(" not in page.html
    assert "@import" not in page.html
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}) in page.tags  # fmt: skip
    assert len(page.html.encode()) < MOST_BYTES


def test_cells_are_text_whatever_they_hold(page):
    assert "<script>alert(1)</script>" in page.texts["rows"]
    assert "<script" not in page.html
    assert "\x07" not in page.html


def test_every_part_is_named_for_those_who_do_not_see_it(page):
    tags = page.tags
    assert tags[0] == ("html", {"lang": "en"})
    assert page.count("h1") == page.count("main") == page.count("nav") == 1
    charts = [found for name, found in tags if name == "svg"]
    assert len(charts) >= 8
    assert all(found["role"] == "img" and len(found["aria-label"]) > 10 for found in charts)
    assert all(found.get("scope") in ("col", "row") for name, found in tags if name == "th")
    ids = [found["id"] for _, found in tags if "id" in found]
    assert len(set(ids)) == len(ids)
    anchors = {found["href"].removeprefix("#") for name, found in tags if name == "a"}
    assert anchors <= set(ids)
    assert {found["tabindex"] for _, found in tags if "tabindex" in found} == {"0"}


def test_the_worst_rows_stand_first_with_the_text_that_was_read(train_once):
    # Where the machine computes in bf16 an answer depends, within its rounding, on the rows beside it.
    result = train_once(**{"training.precision": "f32"})
    page = report_of(result)
    predictor = Predictor.load(result.run_dir.best, precision="f32")
    val = prepare(configure(Path(result.run_dir.path), Path(), **{
        "data.train": json.loads(result.run_dir.config.read_text())["values"]["data"]["train"]
    })).val  # fmt: skip
    scores = predictor.predict(val)
    truth = predictor.pipeline.encode_labels(val)
    losses = -np.log(np.where(truth > 0, scores, 1 - scores))
    shown = [float(text) for text in re.findall(r"log loss\s+([\d.]+)", page.texts["rows"])]
    assert len(shown) == 20
    np.testing.assert_allclose(shown, np.sort(losses)[::-1][:20], atol=2e-4)
    worst = predictor.pipeline.text(val)[int(losses.argmax())]
    spaces = re.compile(r"\s+")
    cleaned = spaces.sub("", worst.replace("\x07", "\N{REPLACEMENT CHARACTER}"))
    assert cleaned in spaces.sub("", page.texts["rows"])


@pytest.mark.medium
def test_the_column_that_decides_is_found(train_once):
    page = report_of(train_once(**WITHOUT_NOTE))
    rows = {row[0]: row[1:] for row in page.table("All columns").rows[1:]}
    growth = {name: cells[0] for name, cells in rows.items() if isinstance(cells[0], float)}
    shares = [cells[2] for cells in rows.values() if isinstance(cells[2], float)]
    assert max(growth, key=growth.get) == "district"
    assert growth["district"] > 3 * rows["district"][1] > 0
    assert sum(shares) == pytest.approx(1, abs=1e-6)


def test_gradient_times_input_is_that_of_a_step(train_once):
    """Moving along the embeddings of a row changes its answer as the products say."""
    predictor = Predictor.load(train_once().run_dir.best).with_weights()
    prepack_weights(predictor.model.encoder, None)
    row = prepare(configure(Path(json.loads(train_once().run_dir.config.read_text())["values"]["data"]["train"]), Path())).val[:1]  # fmt: skip
    found = explain_rows(predictor, row)
    loader = predictor.pipeline.make_loader(row)
    tokens = next(iter(loader)).tokens
    model = predictor.model
    model.eval()
    words = model.encoder.embeddings.words(tokens.input_ids, mx.float32)
    if model.encoder.num_numbers:
        words = words + model.encoder.numbers(tokens, mx.float32)
    step = 1e-2
    ahead, behind = (model(tokens._replace(added=sign * step * words)) for sign in (1, -1))
    slope = float((ahead - behind).item()) / (2 * step)
    assert found.values[0].sum() == pytest.approx(slope, rel=0.02, abs=1e-3)
    assert "".join(piece.text for piece in found.pieces(0)) == predictor.pipeline.text(row)[0]


def test_next_commands_exist(page):
    commands = re.findall(r"<code>(.*?)</code>", page.html)
    assert len(commands) >= 4
    for command in commands:
        check(shlex.split(command))
    assert any(" predict " in command and "test.csv" in command for command in commands)


def test_settings_that_differ_stand_with_their_values(page):
    table = page.table("Settings that differ")
    assert table.row("training.epochs")[0] == "4"
    assert table.row("optimizer.learning_rate")[:2] == ["0.01", "by recipe"]


@pytest.mark.parametrize(
    ("target", "parts"),
    [("kind", ("Confusion", "ROC", "Calibration")), ("price", ("Residuals", "Errors by the size"))],
)
@pytest.mark.quick_for("kind-parts0")
def test_other_tasks_have_their_charts(train_once, target, parts):
    page = report_of(train_once(target))
    assert "faults" not in page.texts
    assert all(part in page.texts["answers"] for part in parts)
    table, metrics = page.table("Metrics"), train_once(target).summary["metrics"]
    shown = {str(row[0]).removesuffix(" *"): row[1] for row in table.rows[1:]}
    assert shown == {name.removeprefix("val_"): value for name, value in metrics.items()}


@pytest.mark.medium
def test_a_run_over_folds_shows_folds_and_members(train_once):
    result = train_once(by=run_cross_validation, **FOLDS)
    page = report_of(result)
    assert "faults" not in page.texts
    blend = result.summary["blend"]
    members = page.table("Members and blend")
    for member in blend["members"]:
        assert members.row(member["name"])[:2] == [member["weight"], member["score"]]
    folds = page.table(f"{blend['metric']} in each fold")
    assert [row[-1] for row in folds.rows[1:]] == list(blend["fold_scores"].values())
    scores = [row[2:-1] for row in folds.rows[1:]]
    assert np.mean(scores, axis=0) == pytest.approx(
        [member["score"] for member in blend["members"]], abs=0.03
    )
    assert len(re.findall(r"log loss", page.texts["rows"])) == 20
    assert "district" in page.texts["columns"]


@pytest.mark.medium
def test_an_ensemble_shows_its_members(train_once):
    result = train_once(by=train_ensemble, **{"ensemble.num_models": 2, "training.epochs": 2})
    page = report_of(result)
    assert "faults" not in page.texts
    table = page.table("Members, and all together")
    for member in result.summary["members"]:
        assert table.row(member["what"])[: len(member["metrics"])] == list(
            member["metrics"].values()
        )
    assert not (result.run_dir.members()[0]).report_path.exists()
    assert "Which columns drove this" in page.texts["columns"]


def test_pretraining_has_curves_and_no_answers(train_once):
    asked = {"optimizer.learning_rate": None, "training.epochs": 1, "data.drop_columns": []}
    result = train_once(by=run_pretraining, **asked)
    page = report_of(result)
    assert "curves" in page.texts
    assert "answers" not in page.texts
    assert page.table("Metrics").row("accuracy")[0] == result.metrics["val_accuracy"]


def test_a_stopped_run_has_a_report_that_says_so(train_once, tmp_path):
    run = copied(train_once(), tmp_path)
    run.summary.unlink()
    page = Page.read(write_report(run))
    assert "was stopped after 4 epochs" in page.texts[""]
    assert "computed for this page" in page.texts["results"]
    assert "bert train --resume" in page.html


def test_a_table_that_is_gone_is_said(train_once, tmp_path):
    run = copied(train_once(), tmp_path)
    run.config.write_text(run.config.read_text().replace("train.csv", "gone.csv"))
    page = Page.read(write_report(run))
    assert "the tables: " in page.texts["faults"]
    assert "gone.csv" in page.texts["faults"]
    assert page.table("Metrics").row("accuracy")[0] == train_once().metrics["val_accuracy"]


def test_answers_that_have_changed_are_said(train_once, tmp_path):
    run = copied(train_once(), tmp_path)
    summary = json.loads(run.summary.read_text())
    summary["metrics"]["val_accuracy"] = 0.25
    run.summary.write_text(json.dumps(summary))
    assert "and 0.2500 in the summary" in Page.read(write_report(run)).texts["results"]


@pytest.mark.usefixtures("_real_reports")
def test_a_run_ends_with_its_report_unless_it_is_off(flats, tmp_path):
    quick = {"training.epochs": 1}
    on = run_training(configure(flats, tmp_path / "on", **quick))
    assert on.summary["files"]["report"] == str(on.run_dir.report_path)
    assert json.loads(on.run_dir.summary.read_text()) == on.summary
    assert "faults" not in Page.read(on.run_dir.report_path).texts
    off = run_training(configure(flats, tmp_path / "off", **quick, **{"training.report": False}))
    assert not off.run_dir.report_path.exists()


@pytest.mark.usefixtures("_real_reports")
@pytest.mark.parametrize("error", [RuntimeError("no paper"), KeyboardInterrupt()])
@pytest.mark.quick_for("error0")
def test_a_report_that_fails_costs_no_run(flats, tmp_path, monkeypatch, caplog_messages, error):
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(writing, "render_page", fail)
    result = run_training(configure(flats, tmp_path, **{"training.epochs": 1}))
    assert result.metrics
    assert "report" not in result.summary["files"]
    said = f"no report was written ({type(error).__name__}: {error})"
    assert any(said in text for text in caplog_messages)


def test_a_part_that_fails_takes_no_other_with_it(train_once, monkeypatch):
    def fail(*_: object) -> list:
        raise RuntimeError("no rows today")

    monkeypatch.setattr(writing, "show_rows", fail)
    page = report_of(train_once())
    assert "Most surprising rows: no rows today" in page.texts["faults"]
    assert "columns" in page.texts


@pytest.mark.usefixtures("_real_reports")
@pytest.mark.medium
def test_a_trainer_of_ones_own_model_writes_one_too(flats, tmp_path):
    model = create_bert_with_head(
        "modernbert", "binary", 2, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, vocab_size=300,
    )  # fmt: skip
    config = configure(flats, tmp_path, **{"data.train": None, "training.epochs": 1})
    trainer = create_trainer(model, config)
    trainer.train(flats)
    page = Page.read(trainer.run.report_path)
    assert "faults" not in page.texts
    assert {"answers", "rows", "columns"} <= set(page.texts)


@pytest.mark.usefixtures("_real_reports")
@pytest.mark.medium
def test_an_ensemble_of_ones_own_models_writes_one_too(flats, tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ensemble = create_ensemble("bert", num_models=2, intermediate_size=32, vocab_size=300, **sizes)
    config = configure(flats, tmp_path, **{"data.train": None, "training.epochs": 1})
    trainer = create_trainer(ensemble, config)
    trainer.train(flats)
    page = Page.read(trainer.run.report_path)
    assert "faults" not in page.texts
    assert "computed for this page" in page.texts["results"]
    assert "was stopped" not in page.texts[""]
    assert read_entry(trainer.run.path).status == "complete"


@pytest.fixture
def caplog_messages():
    """What was logged."""
    from loguru import logger

    messages: list[str] = []
    sink = logger.add(lambda message: messages.append(str(message)), level="WARNING")
    yield messages
    logger.remove(sink)
