"""Download the Titanic tables: from Kaggle where there are credentials, else the same passengers from OpenML.

Kaggle gives train.csv, test.csv and gender_submission.csv as the competition has them. OpenML (data set 40945) has all
1309 passengers with labels; it is split here, with a fixed seed, into tables of the same form and the same sizes, which
are not the competition's. Exit code 2 says that neither could be reached.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import polars as pl

OPENML_URL = "https://www.openml.org/data/get_csv/16826755/phpMYEkMl"
COMPETITION_FILES = ("train.csv", "test.csv", "gender_submission.csv")
COLUMNS = {
    "pclass": "Pclass",
    "name": "Name",
    "sex": "Sex",
    "age": "Age",
    "sibsp": "SibSp",
    "parch": "Parch",
    "ticket": "Ticket",
    "fare": "Fare",
    "cabin": "Cabin",
    "embarked": "Embarked",
}
NUM_TRAIN = 891
SEED = 42


def main() -> int:
    """Fill the folder, whole or not at all; 0 when it is there, 2 when nothing could be fetched."""
    parser = argparse.ArgumentParser(description="Download the Titanic tables.")
    parser.add_argument(
        "--output", type=Path, default=Path("data/titanic"), help="folder to fill (data/titanic)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    arguments = parser.parse_args()
    folder: Path = arguments.output
    if (folder / "train.csv").exists() and not arguments.force:
        print(f"{folder / 'train.csv'} is there already; --force fetches it again")
        return 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".titanic-") as name:
        for source, fetch in (("Kaggle", fetch_from_kaggle), ("OpenML", fetch_from_openml)):
            try:
                fetch(Path(name))
            except (OSError, ValueError) as error:
                reasons.append(f"{source}: {error}")
                continue
            move_files(Path(name), folder)
            print(
                f"Titanic from {source} is in {folder}; next: bert train --train {folder / 'train.csv'}"
            )
            return 0
    print("the Titanic tables could not be fetched:", *reasons, sep="\n  ", file=sys.stderr)
    print(
        f"what to do: connect to the internet; or set up Kaggle credentials (kaggle.json, `uv sync --extra kaggle`) and\n"
        f"accept the rules at https://www.kaggle.com/c/titanic; or put train.csv and test.csv into {folder} by hand",
        file=sys.stderr,
    )
    return 2


def fetch_from_kaggle(folder: Path) -> None:
    """Fetch the competition's own files.

    Raises:
        ValueError: the extra or the credentials are missing, or Kaggle refuses.
    """
    config_dir = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle"))
    has_variables = "KAGGLE_API_TOKEN" in os.environ or {"KAGGLE_USERNAME", "KAGGLE_KEY"} <= set(
        os.environ
    )
    if not has_variables and not any(
        (config_dir / name).exists() for name in ("kaggle.json", "access_token")
    ):
        raise ValueError(
            f"no credentials (neither KAGGLE_USERNAME and KAGGLE_KEY nor {config_dir / 'kaggle.json'})"
        )
    try:
        api = importlib.import_module("kaggle.api.kaggle_api_extended").KaggleApi()
    except ImportError as error:
        raise ValueError("the kaggle package is missing: uv sync --extra kaggle") from error
    try:
        api.authenticate()
        for name in COMPETITION_FILES:
            api.competition_download_file("titanic", name, path=str(folder), quiet=True)
    except (
        Exception,
        SystemExit,
    ) as error:  # the client raises its own classes, and exits without credentials
        raise ValueError(f"{type(error).__name__}: {error}") from error
    check_files(folder)


def fetch_from_openml(folder: Path) -> None:
    """Fetch all passengers and write them in the competition's form.

    Raises:
        OSError: OpenML cannot be reached.
        ValueError: it answers something else than the table.
    """
    path = folder / "openml.csv"
    try:
        with urllib.request.urlopen(OPENML_URL, timeout=60) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except urllib.error.URLError as error:
        raise OSError(f"{OPENML_URL} cannot be reached: {error.reason}") from error
    write_competition_form(path, folder)
    path.unlink()
    check_files(folder)


def write_competition_form(source: Path, folder: Path) -> None:
    """Turn OpenML's table into train.csv, test.csv and gender_submission.csv.

    Raises:
        ValueError: the table lacks columns.
    """
    try:
        frame = pl.read_csv(source, infer_schema=False, null_values="?")
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"the answer is no CSV: {error}") from error
    missing = [name for name in (*COLUMNS, "survived") if name not in frame.columns]
    if missing:
        raise ValueError(f"the table lacks {', '.join(missing)}")
    frame = frame.sample(fraction=1.0, shuffle=True, seed=SEED).with_row_index(
        "PassengerId", offset=1
    )
    features = [pl.col(old).alias(new) for old, new in COLUMNS.items()]
    train, test = frame[:NUM_TRAIN], frame[NUM_TRAIN:]
    train.select("PassengerId", pl.col("survived").alias("Survived"), *features).write_csv(
        folder / "train.csv"
    )
    test.select("PassengerId", *features).write_csv(folder / "test.csv")
    sample = test.select("PassengerId", Survived=(pl.col("sex") == "female").cast(pl.Int64))
    sample.write_csv(folder / "gender_submission.csv")


def check_files(folder: Path) -> None:
    """Raise ValueError unless every file has the competition's columns."""
    for name in COMPETITION_FILES:
        path = folder / name
        if not path.exists() or "PassengerId" not in pl.read_csv(path, n_rows=5).columns:
            raise ValueError(f"{name} did not arrive")


def move_files(source: Path, folder: Path) -> None:
    """Move the fetched files over, each with one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMPETITION_FILES:
        (source / name).replace(folder / name)


if __name__ == "__main__":
    sys.exit(main())
