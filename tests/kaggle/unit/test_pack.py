"""pack_run: the notebook and requirements.txt install what the packed models need."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from bert_playground.runs import BLEND_NAME, ESTIMATOR_NAME
from bert_playground.training.kaggle.pack import pack_run


@pytest.mark.parametrize(
    ("estimators", "extras"),
    [((), "cpu"), (("linear", "boosting"), "cpu"), (("linear", "lightgbm"), "boost,cpu"), (("catboost",), "boost,cpu")],
)  # fmt: skip
def test_boosting_libraries_are_installed_where_a_model_needs_them(
    tmp_path: Path, estimators: tuple[str, ...], extras: str
) -> None:
    run, packed = tmp_path / "run", tmp_path / "packed"
    for name in estimators:
        model = run / "folds" / "repeat_0" / "fold_0" / name / "model"
        model.mkdir(parents=True)
        (model / ESTIMATOR_NAME).write_text(json.dumps({"estimator": name}))
    run.mkdir(exist_ok=True)
    (run / BLEND_NAME).write_text("{}")
    pack_run(run, packed, "titanic")
    notebook = json.loads((packed / "notebook" / "predict.ipynb").read_text())
    install = "".join(notebook["cells"][0]["source"])
    assert f'"bert-playground[{extras}]"]' in install
    compile(install, "cell", "exec")
    required = (packed / "dataset" / "requirements.txt").read_text()
    assert f"bert-playground[{extras}]==" in required
    is_pinned = extras != "cpu" and find_spec("lightgbm") is not None
    assert ("lightgbm==" in required) == is_pinned
