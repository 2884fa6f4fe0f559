"""A bundle for a bug report has nothing private in it."""

import json
import zipfile
from pathlib import Path

import pytest

from bert_playground.doctor.bundle import hide, write_bundle
from bert_playground.finding import BAD, GOOD, Finding

HOME, HERE = Path("/home/ada"), Path("/data/secret_project")


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("/home/ada/.kaggle/kaggle.json", "~/.kaggle/kaggle.json"),
        ("/data/secret_project/output: 3 GiB free", "./output: 3 GiB free"),
        ("/Users/bob/models and /home/eve/x", "~/models and ~/x"),
        ("https://ada:pass@mlflow.company.com:5000/x is down", "https://HOST/x is down"),
        ("the file /mnt/keys/kaggle that KAGGLE_API_TOKEN names", "the file $KAGGLE_API_TOKEN that KAGGLE_API_TOKEN names"),
        ("token tok-123456", "token $MY_SECRET"),
        ("/srv/acme/runs: 3 GiB, of 1/2", "FOLDER: 3 GiB, of 1/2"),
        ("chmod 600 /mnt/acme/kaggle.json", "chmod 600 FOLDER/kaggle.json"),
        ("MLX on CPU", "MLX on CPU"),
    ],
)  # fmt: skip
def test_private_words_become_their_names(said, hidden):
    environment = {
        "KAGGLE_API_TOKEN": "/mnt/keys/kaggle",
        "MY_SECRET": "tok-123456",
        "EDITOR": "CPU",
        "HF_HOME": "",
        "A_KEY": "3",
    }
    found = hide(Finding("x", GOOD, said, said), environment, HOME, HERE)
    assert found == {"what": "x", "state": GOOD, "found": hidden, "remedy": hidden}


def test_a_bundle_holds_findings_and_versions(tmp_path):
    path = tmp_path / "report.zip"
    write_bundle(path, [Finding("disk", BAD, f"{Path.home()}/runs cannot be written")])
    with zipfile.ZipFile(path) as bundle:
        parts = {name: json.loads(bundle.read(name)) for name in bundle.namelist()}
    assert set(parts) == {"doctor.json", "versions.json"}
    assert parts["doctor.json"][0]["found"] == "~/runs cannot be written"
    assert parts["versions.json"]["numpy"].count(".") >= 2
    assert "pytest" not in parts["versions.json"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        write_bundle(tmp_path / "absent" / "report.zip", [])
