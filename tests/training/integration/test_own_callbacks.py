"""The example of docs/guides/callbacks.md, as it stands there, in a run and in one that goes on."""

import json
import re
import sys
from pathlib import Path

import pytest

from bert_playground.config import load_config
from bert_playground.training import run_training

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "callbacks.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_guides_callback_ends_a_run_and_a_resumed_one(
    make_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "beside"
    folder.mkdir()
    (folder / "my_callbacks.py").write_text(block("python"))
    (folder / "mine.yaml").write_text(block("yaml"))
    asked, sources = load_config(folder / "mine.yaml", {})
    assert asked.training.epochs == 50
    config = make_config(
        **{
            "training.callbacks": ({"my_callbacks:StopAt": {"value": 99.0}},),  # true of any epoch
            "training.callbacks_dir": asked.training.callbacks_dir,
            "training.max_steps": 3,
        }
    )
    result = run_training(config, sources)
    assert result.summary["stop_reason"] == "val_loss is at most 99.0"
    stored = json.loads(result.run_dir.config.read_text())["values"]["training"]
    assert stored["callbacks"] == [{"my_callbacks:StopAt": {"value": 99.0}}]
    del sys.modules["my_callbacks"]
    monkeypatch.chdir(tmp_path)
    more = make_config(**{"training.max_steps": 99})
    again = run_training(more, {"training.max_steps": "flag"}, resume=result.run_dir.path)
    assert (again.summary["epochs"], again.summary["stop_reason"]) == (
        1,
        "val_loss is at most 99.0",
    )
    del sys.modules["my_callbacks"]


def test_a_wrong_callback_leaves_no_run_behind(make_config) -> None:
    config = make_config(**{"training.callbacks": ("surely_no_module:X",)})
    with pytest.raises(ValueError, match="there is no module 'surely_no_module'"):
        run_training(config)
    assert not config.training.output_dir.exists()


def test_metrics_of_the_guide_exist(train_once) -> None:
    assert set(re.findall(r"val_\w+", GUIDE.read_text())) - {"val_"} <= set(train_once().metrics)
