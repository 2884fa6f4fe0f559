"""BertRegressor: an encoder that answers numbers, in scikit-learn's manner."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import assert_all_finite

from bert_playground.estimators.base import BertEstimator, name_of, read_target
from bert_playground.estimators.model import Array


class BertRegressor(RegressorMixin, BertEstimator):
    """An encoder with a head for a number, trained on tables or texts as `bert train` trains it.

    Parameters and attributes are those of `BertClassifier`, but for class_weight and classes_.
    """

    tasks = ("regression",)

    def fit(
        self,
        X: Any,  # noqa: N803 (scikit-learn's name)
        y: Any,
        sample_weight: Any = None,
        eval_set: tuple[Any, Any] | None = None,
    ) -> Self:
        """Train on rows with their numbers; arguments as for `BertClassifier.fit`.

        Raises:
            ValueError: rows, numbers or parameters do not fit; says what to do.
        """
        return self._fit(X, self._check_target(y), sample_weight, eval_set, name=name_of(y))

    def predict(self, X: Any, return_std: bool = False) -> Any:  # noqa: N803
        """The number of each row, [R] in f64, in the units of y.

        Args:
            X: the rows.
            return_std: give standard deviations [R] too; the model has to be trained with
                config={"head": {"uncertainty_estimation": True}}.

        Raises:
            ValueError: deviations are asked of a model without them.
        """
        table = self._answers(self._score_rows(X)).to_numpy()
        means = table[:, 0].astype(np.float64)
        if not return_std:
            return means
        if table.shape[1] < 2:
            raise ValueError(
                "the model knows no standard deviation; train it with "
                'config={"head": {"uncertainty_estimation": True}}'
            )
        return means, table[:, 1].astype(np.float64)

    def _check_target(self, target: Any) -> Array:
        numbers = read_target(target, self)
        if numbers.dtype.kind not in "biuf":
            numbers = numbers.astype(np.float64)
        assert_all_finite(numbers, input_name="y")
        return numbers
