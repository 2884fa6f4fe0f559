"""BertModel: what all estimators share: reading rows, the checkpoint, and what a notebook shows."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data

from bert_playground.estimators.fitted_model import FittedModel
from bert_playground.estimators.parameters_page import describe_fit
from bert_playground.estimators.rows import is_frame, read_rows

Array = np.ndarray[Any, Any]


class BertModel(BaseEstimator):
    """Rows in, and a checkpoint that answers them.

    Attributes:
        checkpoint_: the model, once it is fitted.
    """

    checkpoint_: FittedModel  # from fit on

    def to_checkpoint(self, folder: str | Path) -> Path:
        """Write the model to a new folder, for `bert predict`, `bert serve`, `bert model export` and `from_checkpoint`.

        Raises:
            NotFittedError: there is no model yet.
            ValueError: the folder exists and is not empty.
        """
        self._require_fit()
        return self.checkpoint_.save(folder)

    def _read_fit_rows(self, rows: Any, *, least: int) -> pl.DataFrame:
        frame = read_rows(rows, self, least=least)
        self._check_columns(rows, frame, reset=True)
        return frame

    def _read_later_rows(self, rows: Any) -> pl.DataFrame:
        self._require_fit()
        frame = read_rows(rows, self)
        self._check_columns(rows, frame, reset=False)
        return frame

    def _check_columns(self, rows: Any, frame: pl.DataFrame, *, reset: bool) -> None:
        """Number and names of columns, by scikit-learn's rules; a checkpoint that was read knows its columns itself."""
        if not reset and not hasattr(self, "n_features_in_"):
            return
        is_named = is_frame(rows) and not isinstance(rows, list)
        table = frame if is_named else np.empty(frame.shape)
        validate_data(self, table, skip_check_array=True, reset=reset)

    def _require_fit(self) -> None:
        if not hasattr(self, "checkpoint_"):
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments before using "
                "this estimator, or read one with from_checkpoint."
            )

    def _html_repr(self) -> str:
        """Parameters as scikit-learn shows them, and what the fit gave."""
        return str(super()._html_repr()) + describe_fit(getattr(self, "summary_", None))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        return tags
