"""scikit-learn's metrics by their names; it is imported when the first one is asked for, which takes seconds."""

from typing import Any


def __getattr__(name: str) -> Any:
    from sklearn import metrics

    return getattr(metrics, name)
