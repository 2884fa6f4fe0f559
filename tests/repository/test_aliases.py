"""The seeds' short imports give the very same modules."""

import subprocess
import sys

import pytest

from .files import ROOT

CODE = """
from models.factory import create_model
from models.bert import BertConfig
import models.heads.classification
from training import create_trainer
import training, data.core.types, cli.app

import bert_playground.models.factory, bert_playground.models.bert, bert_playground.models.heads.classification
import bert_playground.training, bert_playground.data.core.types, bert_playground.cli.app

assert create_model is bert_playground.models.factory.create_model
assert BertConfig is bert_playground.models.bert.BertConfig
assert models.heads.classification is bert_playground.models.heads.classification
assert create_trainer is bert_playground.training.create_trainer
assert training is bert_playground.training
assert data.core.types.Batch is bert_playground.data.core.types.Batch
assert cli.app is bert_playground.cli.app
assert cli.app.__spec__.name == "bert_playground.cli.app"

import pickle
assert pickle.loads(pickle.dumps(BertConfig)) is BertConfig
try:
    import models.nothing
except ModuleNotFoundError as error:
    assert "models.nothing" in str(error)
else:
    raise AssertionError("models.nothing was found")
"""


@pytest.mark.medium
def test_short_names_are_the_same_objects(tmp_path):
    (tmp_path / "data").mkdir()  # a folder of CSV files does not shadow the short name
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "aliases")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
