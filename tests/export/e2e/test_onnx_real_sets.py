"""predict.py reads and answers the rows of every real table as `bert predict` does, alone."""

import json
from pathlib import Path

import pytest

from bert_playground.config.datasets import DATASETS
from bert_playground.config.schema import DataSection
from bert_playground.data.reading.table import read_table
from bert_playground.export import export_model
from bert_playground.export.onnx.plan import columns_of, compile_member
from bert_playground.export.onnx.standalone_rows import RowReader, complete, read_csv
from bert_playground.tabular import available_estimators
from tests.export.integration.test_onnx_folder import check_predictions, invoke
from tests.fitting import fit_pipeline

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no folder shared/data beside the checkout"
)
ROWS = 2000  # of a training table
ASKED = 500  # of a test table
MEMBERS = ",".join(("encoder", *available_estimators()))
BLEND = ("--folds", "2", "--blend", "mean", "--members", MEMBERS)


@pytest.mark.medium
def test_titles_cabins_and_tickets_become_the_same_tokens(tmp_path: Path) -> None:
    """The names, codes and groups of the Titanic, fitted on all of it."""
    train = read_table(SHARED / "titanic" / "train.csv")
    pipeline = fit_pipeline(train, DataSection(target="Survived"))
    test = SHARED / "titanic" / "test.csv"
    (tmp_path / "tokenizer.json").write_text(pipeline.tokenizer.to_json(), encoding="utf-8")
    reader = RowReader(tmp_path, json.loads(json.dumps(compile_member(pipeline))))
    rows = complete(read_csv(test), reader.plan)
    table = pipeline.tokenize(read_table(test))
    assert set(columns_of(pipeline)) <= set(rows[0])
    assert reader.encode(rows)[0] == [row.tolist() for row in table.rows()]
    if pipeline.numbers:
        assert table.numbers is not None
        assert (reader.encode_numbers(rows) == table.numbers).sum() == (
            table.numbers == table.numbers
        ).sum()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DATASETS])
@pytest.mark.parametrize("flags", [(), BLEND], ids=["encoder", "blend"])
@pytest.mark.usefixtures("_few_rounds")
def test_a_known_set_is_answered_alike(name: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    source, train, test = SHARED / name, tmp_path / "train.csv", tmp_path / "test.csv"
    if not source.is_dir():
        pytest.skip(f"{name} is not among the tables here")
    read_table(source / "train.csv")[:ROWS].write_csv(train)
    asked = source / "test.csv"
    rows = read_table(asked if asked.is_file() else source / "train.csv")
    rows[:ASKED].write_csv(test)
    command = ["train", "--config", "test", "--train", train, "--output", tmp_path, "--json"]
    done = invoke(*command, *flags)
    assert done.exit_code == 0, done.output
    run = Path(json.loads(done.stdout)["files"]["run"])
    folder = export_model(run, tmp_path / "onnx", format="onnx").folder
    check_predictions(run, folder, test, tmp_path)
