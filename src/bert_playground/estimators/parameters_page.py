"""describe_fit: what a notebook shows below the parameters of a fitted estimator."""

import html
from collections.abc import Mapping
from typing import Any


def describe_fit(summary: Mapping[str, Any] | None) -> str:
    """A table of what the fit gave, in HTML; "" of an estimator without one.

    Args:
        summary: of the run.
    """
    if summary is None:
        return ""
    rows = [
        ("trained on", f"{summary['train_rows']:,} rows, {summary['parameters']:,} parameters"),
        ("best epoch", f"{summary['best_epoch']} of {summary['epochs']}"),
        *((name, f"{value:.4g}") for name, value in summary["metrics"].items()),
        ("took", f"{summary['seconds']:.1f} s"),
    ]
    cells = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    return (
        f"<table><caption>fit, on {summary['val_rows']:,} validation rows</caption>{cells}</table>"
    )
