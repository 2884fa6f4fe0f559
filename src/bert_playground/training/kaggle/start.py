"""start_project: the folder of a competition, step by step; what is there already is kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bert_playground.config.datasets import DatasetEntry
from bert_playground.config.load import load_config
from bert_playground.data.kaggle.client import KaggleClient
from bert_playground.data.kaggle.download import download_competition
from bert_playground.data.kaggle.submission_check import find_sample
from bert_playground.data.kaggle.unpack import MOST_BYTES
from bert_playground.data.prepare import write_table_folds
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema import Schema, decide
from bert_playground.files import write_text
from bert_playground.jinja_templates import open_templates
from bert_playground.leftovers import sweep_folder
from bert_playground.lookup import shorten
from bert_playground.training.kaggle.ledger import open_ledger
from bert_playground.training.kaggle.project import Facts, Project
from bert_playground.training.metrics.scorer import look_up_metric

NUM_FOLDS = 5
SEED = 42
TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".csv.gz", ".csv.zip")
# Words of Kaggle's evaluation → our metric, the first that fits the task.
METRIC_WORDS = {
    "logarithmic error": "rmsle",
    "root mean squared error": "rmse",
    "mean absolute error": "mae",
    "quadratic": "quadratic_kappa",
    "area under": "roc_auc",
    "roc": "roc_auc",
    "log loss": "log_loss",
    "accuracy": "accuracy",
    "macro": "f1_macro",
    "f-score": "f1",
    "f1": "f1",
}
TEMPLATES = open_templates(Path(__file__).parent)


@dataclass(frozen=True)
class Step:
    """What was done about one file or folder: "made", "kept", or "left out" with the reason."""

    path: Path
    what: str
    detail: str = ""


@dataclass(frozen=True)
class Tables:
    """Which files of a competition are what; None: none is called so."""

    train: Path
    test: Path | None
    sample: Path | None


def start_project(
    project: Project,
    slug: str,
    client: KaggleClient | None,
    *,
    entry: DatasetEntry | None = None,
    num_folds: int = NUM_FOLDS,
    seed: int = SEED,
    most_bytes: int = MOST_BYTES,
) -> Iterator[Step]:
    """Make what is missing of a project; a step that was broken off is done again, a file that is there is never touched.

    Args:
        project: the folder.
        slug: the competition's name on Kaggle.
        client: of the user; None: the data are in the project already, and Kaggle is not asked.
        entry: what the registry knows.
        num_folds: of the folds file.
        seed: draws the folds.
        most_bytes: that the data may have, unpacked.

    Raises:
        KaggleError: Kaggle refuses.
        ValueError: the folder is another competition's, the data have no training table, or nothing can be inferred of it.
    """
    facts = project.read_facts()
    if facts is not None and facts.slug != slug:
        raise ValueError(
            f"{project.path} is the project of {facts.slug!r}, not of {slug!r}; choose another folder with --output"
        )
    project.path.mkdir(parents=True, exist_ok=True)
    sweep_folder(project.path)
    if facts is None:
        facts = Facts(slug) if client is None else Facts.of(client.describe(slug))
        facts = Facts(**{**facts.__dict__, "slug": slug})
        project.write_facts(facts)
        yield Step(project.facts, "made")
    else:
        yield Step(project.facts, "kept")
    if client is not None:
        got = download_competition(client, slug, project.data, most_bytes=most_bytes, keep=True)
        yield Step(project.data, "made" if got.fetched else "kept", shorten(got.files, 6))
    tables = find_tables(project.data, entry, _train_of(project))
    yield from _write_files(project, tables, facts, entry, num_folds, seed)


def find_tables(
    folder: Path, entry: DatasetEntry | None = None, given: Path | None = None
) -> Tables:
    """The training table, the table to predict and the sample submission, by their names.

    Args:
        folder: of the data.
        entry: what the registry knows.
        given: the training table that the user named.

    Raises:
        ValueError: there is no training table, or several.
    """
    files = sorted(path for path in folder.glob("*") if path.name.lower().endswith(TABLES))
    sample = find_sample(folder, None if entry is None else entry.sample_file)
    others = [path for path in files if path != sample]

    def find(word: str) -> list[Path]:
        exact = [path for path in others if path.name.lower().partition(".")[0] == word]
        return exact or [path for path in others if word in path.name.lower()]

    train, test = find("train") if given is None else [given], find("test")
    if len(train) != 1:
        inside = shorten(path.name for path in files) or "no tables"
        raise ValueError(
            f"{folder} has {len(train) or 'no'} files that may be the training table (it holds {inside}); write a "
            f"{folder.parent / 'bert.yaml'} with data: {{train: data/FILE, target: COLUMN}} and repeat the command"
        )
    return Tables(train[0], test[0] if len(test) == 1 else None, sample)


def _write_files(
    project: Project,
    tables: Tables,
    facts: Facts,
    entry: DatasetEntry | None,
    num_folds: int,
    seed: int,
) -> Iterator[Step]:
    def write_config() -> str:
        values, schema = infer_config(project, tables, facts, entry)
        write_text(project.config, render_config(values, schema.notes, facts))
        return ", ".join(schema.notes)

    def write_folds() -> str:
        config, _ = load_config(project.config, {})
        section = config.data.model_copy(
            update={"train": _in(project, config.data.train or tables.train), "folds": None}
        )
        _, notes = write_table_folds(section, num_folds, seed, project.folds)
        return notes[-1]

    def write_readme() -> str:
        write_text(project.readme, render_readme(project, tables, facts, entry))
        return ""

    def make_ledger() -> str:
        with open_ledger(project.ledger):
            return ""

    yield _unless_there(project.config, write_config)
    yield _unless_there(project.folds, write_folds)
    yield _unless_there(project.readme, write_readme)
    yield _unless_there(project.ledger, make_ledger)


def _unless_there(path: Path, write: Callable[[], str]) -> Step:
    if path.exists():
        return Step(path, "kept")
    return Step(path, "made", write())


def infer_config(
    project: Project, tables: Tables, facts: Facts, entry: DatasetEntry | None
) -> tuple[dict[str, Any], Schema]:
    """The values of bert.yaml: what the registry knows, the rest as training would infer it.

    Raises:
        ValueError: target or task cannot be inferred.
    """
    known: dict[str, Any] = {}
    if entry is not None:
        names = ("target", "id_column", "task", "split", "group_column", "time_column")
        known = {name: value for name in names if (value := getattr(entry, name)) is not None}
    config, _ = load_config({"data": {"train": str(tables.train), **known}}, {})
    frame = read_table(tables.train)
    test = None if tables.test is None else read_table(tables.test).columns
    schema = decide(frame, config.data, test)
    data: dict[str, Any] = {
        "train": str(tables.train.relative_to(project.path)),
        "target": list(schema.targets) if len(schema.targets) > 1 else schema.target,
        "task": schema.task,
        "id_column": schema.id_column or "none",
        **{name: known[name] for name in ("split", "group_column", "time_column") if name in known},
    }
    metric = (entry and entry.metric) or schema.metric or _guess_metric(facts.metric, schema.task)
    values: dict[str, Any] = {"data": data, "cross_validation": {"folds": project.folds.name}}
    if metric is not None:
        values["training"] = {"metric": metric}
    return values, schema


def _guess_metric(words: str | None, task: str) -> str | None:
    for part, name in METRIC_WORDS.items():
        if words and part in words.lower():
            try:
                look_up_metric(name, task)
            except ValueError:
                continue
            return name
    return None


def render_config(values: dict[str, Any], notes: tuple[str, ...], facts: Facts) -> str:
    """The text of bert.yaml, with what was inferred as comments."""
    said = [
        f"{facts.title or facts.slug}: the settings of every run here; `bert kaggle run` follows them.",
        *notes,
    ]
    if facts.metric:
        said.append(f"Kaggle judges by: {facts.metric}")
    comments = "".join(f"# {line}\n" for note in said for line in note.splitlines())
    return comments + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def render_readme(
    project: Project, tables: Tables, facts: Facts, entry: DatasetEntry | None
) -> str:
    """The text of README.md."""

    def name(path: Path | None) -> str | None:
        return None if path is None else str(path.relative_to(project.path))

    return TEMPLATES.get_template("project_readme.md.jinja").render(
        facts=facts,
        train=name(tables.train),
        test=name(tables.test),
        sample=name(tables.sample),
        pretrained=None if entry is None else entry.pretrained,
    )


def _train_of(project: Project) -> Path | None:
    """The training table that bert.yaml names, where there is one."""
    if not project.config.is_file():
        return None
    config, _ = load_config(project.config, {})
    return None if config.data.train is None else _in(project, config.data.train)


def _in(project: Project, path: Path) -> Path:
    """A path of bert.yaml, which is read in the project's folder."""
    return path if path.is_absolute() or path.is_relative_to(project.path) else project.path / path
