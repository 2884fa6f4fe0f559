"""A cluster of two nodes for the tests of a file, tables, and what this machine fits alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.on_ray import Cluster, fold_arguments, run, write_rows, write_table


@pytest.fixture(scope="module")
def cluster(root: Path) -> Iterator[Cluster]:
    with Cluster.begin(root) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the tables."""
    path = tmp_path_factory.mktemp("fruit")
    write_table(path / "train.csv")
    write_rows(path / "rows.csv")
    return path


@pytest.fixture(scope="module")
def alone(cluster: Cluster, folder: Path) -> Path:
    """Folds that this machine has fitted without an engine, while the cluster starts."""
    return folder / run(folder, *fold_arguments("alone"))["files"]["run"]
