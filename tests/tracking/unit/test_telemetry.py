"""MLflow is imported in one way, which keeps its telemetry off unless somebody wants it."""

import re
from pathlib import Path

from bert_playground import tracking

ROOM = Path(tracking.__file__).parent


def test_every_file_that_imports_mlflow_goes_through_the_store_first() -> None:
    # pyfunc_model.py runs inside MLflow; datasets.py, logged_model.py's log_model and registry.py are given a client.
    given_a_client = {"pyfunc_model.py", "datasets.py", "frames.py"}
    for path in ROOM.glob("*.py"):
        text = path.read_text()
        if (
            re.search(r"^\s+(from|import) mlflow", text, re.MULTILINE)
            and path.name not in given_a_client
        ):
            assert "import_mlflow" in text, path.name


def test_importing_the_room_does_not_import_mlflow() -> None:
    for path in ROOM.glob("*.py"):
        if path.name != "pyfunc_model.py":
            assert not re.search(
                r"^(from|import) (mlflow|pandas|psutil)", path.read_text(), re.MULTILINE
            )
