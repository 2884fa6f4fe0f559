"""What the commands of `bert mlflow` share: which store and which run is meant."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bert_playground.tracking.browse import Store

OUTPUT = Path("output")

StoreName = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PLACE",
        help="a tracking URI, mlflow.db, or its folder (default: MLFLOW_TRACKING_URI, else output/mlflow.db)",
        show_default=False,
    ),
]
Experiment = Annotated[
    str | None,
    typer.Option(
        "--experiment", metavar="NAME", help="its runs alone (default: all)", show_default=False
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="id or its beginning, name, or run folder", show_default=False
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="such as val_accuracy (default: what the runs were judged by)",
        show_default=False,
    ),
]
Alias = Annotated[
    str | None,
    typer.Option(
        "--alias", metavar="NAME", help="that points at it, such as champion", show_default=False
    ),
]


def choose_address(store: str | None) -> str:
    """The tracking URI that is meant.

    Raises:
        ValueError: it is no address, or the extra is not installed.
    """
    from bert_playground.logs import set_up_logs
    from bert_playground.tracking import choose_store, require_mlflow

    set_up_logs(None)
    require_mlflow()
    return choose_store(store, OUTPUT)


def open_store(store: str | None) -> "Store":
    """The store that is meant, to read.

    Raises:
        ValueError: it does not answer, is of another version, or is no address.
        FileNotFoundError: there is no such database.
    """
    from bert_playground.tracking.browse import Store

    return Store(choose_address(store))


def maximized_metrics() -> set[str]:
    """Names of metrics of which more is better."""
    from bert_playground.training.metrics import METRICS

    return {name for name, metric in METRICS.items() if metric.higher_is_better}
