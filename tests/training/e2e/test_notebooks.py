"""In a notebook folds, ensembles, studies, searches and parts show one live output each, as a single training does."""

import nbformat
import pytest
from nbclient import NotebookClient

SETUP = """
import sys; sys.path.insert(0, {root!r})
from pathlib import Path
from bert_playground.config import load_config
from tests.tiny_run import TINY_RUN

rows = [f"{{n}},{{'good' if n % 3 else 'bad'}} day,{{n % 7}},{{int(n % 3 > 0)}}" for n in range(240)]
Path("t.csv").write_text("id,text,n,label\\n" + "\\n".join(rows) + "\\n")
base = {{**TINY_RUN, "data.train": "t.csv", "data.target": "label", "training.report": False, "training.output_dir": "out"}}

def configured(**changes):
    return load_config(None, flags={{**base, **changes}})
"""
CELLS = {
    "folds": """
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
asked = {"cross_validation.folds": 2, "cross_validation.members": ["linear", "encoder"]}
run_cross_validation(*configured(**asked));
""",
    "ensemble": """
from bert_playground.training.ensembles import train_ensemble
together = train_ensemble(*configured(**{"ensemble.num_models": 2}));
""",
    "tune": """
from bert_playground.tuning.request import TuneRequest
from bert_playground.tuning.tune import run_tuning
run_tuning(*configured(), TuneRequest(trials=1, seeds=2));
""",
    "compress": """
from bert_playground.compression.compress import Request, compress_checkpoint
from bert_playground.compression.recover import Recovery
from bert_playground.compression.study import Budget
checkpoint = next(Path("out").glob("*/members/*/checkpoints/best"))
asked = Request(checkpoint, Path("t.csv"), recovery=Recovery(epochs=1), budget=Budget(1))
compress_checkpoint(asked, Path("small"));
""",
    "parts": """
from functools import partial
from bert_playground.engines.engine import EngineRequest
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.predict_in_parts import PartsRequest, predict_in_parts
asked = PartsRequest(Path("t.csv"), Path("answers"), partial(load_predictor, checkpoint), part_rows=80)
predict_in_parts(asked, EngineRequest(), 1);
""",
}


@pytest.fixture(scope="module")
def shown(root, tmp_path_factory):
    """Cell → its pictures in HTML, after all of them ran in one kernel."""
    written = [SETUP.format(root=str(root)), *CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in written])
    resources = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    NotebookClient(
        notebook, timeout=600, startup_timeout=300, kernel_name="python3", resources=resources
    ).execute()
    return {
        name: [each["data"]["text/html"] for each in cell.outputs if "data" in each]
        for name, cell in zip(CELLS, notebook.cells[1:], strict=True)
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Jupyter's own libraries
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("folds", ['value="4" max="4"', "linear, fold 2 of 2", "encoder, fold 2 of 2"]),
        ("ensemble", ['value="2" max="2"', "member 2 of 2 is complete"]),
        ("tune", ['value="2" max="2"', "defaults: ", "trial 1"]),
        ("compress", ['value="1" max="1"', "recipe 1 of at most 1 is done"]),
        ("parts", ['value="3" max="3"', "3 of 3 parts"]),
    ],
)
def test_all_trainings_of_a_cell_share_one_output(shown, cell, expected):
    assert len(shown[cell]) == 1
    assert [each for each in expected if each not in shown[cell][0]] == []
