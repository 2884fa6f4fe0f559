"""Output: the model of one target, or the constant that answers where there is nothing to learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_playground.tabular.estimators import Estimator, Question
from bert_playground.tabular.features import Matrix

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Output:
    """What answers one target.

    Attributes:
        num_classes: of the target; None: it is a number.
        classes: numbers of those that the training rows had, in the order of the model's answers.
        constant: the shares of all classes in the training rows, or (the mean,).
        model: of the estimator; None: the constant is the answer.
    """

    num_classes: int | None
    classes: tuple[int, ...]
    constant: tuple[float, ...]
    model: Any = None

    def predict(
        self, estimator: Estimator, matrix: Matrix, seed: int, num_threads: int | None
    ) -> Array:
        """Probabilities of all classes [R, K], 0 for those that the training rows lacked; or numbers [R]."""
        num_rows = matrix.values.shape[0]
        if self.model is None:
            answers = np.tile(np.array(self.constant), (num_rows, 1))
            return answers if self.num_classes is not None else answers[:, 0]
        question = self.question(seed, num_threads)
        found = estimator.predict(self.model, matrix, question)
        if self.num_classes is None:
            return found
        answers = np.zeros((num_rows, self.num_classes))
        answers[:, list(self.classes)] = found
        return answers

    def question(self, seed: int = 0, num_threads: int | None = 1) -> Question:
        """What the model was asked."""
        return Question(len(self.classes) or None, seed, num_threads)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form of all but the model."""
        return {
            "num_classes": self.num_classes,
            "classes": self.classes,
            "constant": self.constant,
            "has_model": self.model is not None,
        }
