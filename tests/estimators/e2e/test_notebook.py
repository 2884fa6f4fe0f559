"""The notebook of the examples runs from its first cell to its last."""

import nbformat
import pytest
from nbclient import NotebookClient


def printed(cell):
    found = [each["text"] for each in cell.get("outputs", []) if each["output_type"] == "stream"]
    plain = [each["data"]["text/plain"] for each in cell.get("outputs", []) if "data" in each]
    return "".join(found + plain)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Jupyter's own libraries
def test_the_notebook_runs(root, tmp_path):
    notebook = nbformat.read(root / "examples" / "estimators.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    fit = notebook.cells[3]["outputs"]
    assert "epoch 5/5" in fit[0]["data"]["text/html"]
    assert "val_accuracy" in fit[-1]["data"]["text/html"]
    assert len(fit) == 2
    said = [printed(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert float(said[2].split("seen: ")[1][:4]) > 0.7
    assert "(np.True_, (300, 32))" in said[-1]
    assert list(tmp_path.iterdir()) == []
