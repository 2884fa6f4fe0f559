"""Lists that types need twice say the same: tasks, architectures, precisions."""

from typing import get_args

import pytest

from bert_playground.config.sections.data import TaskName
from bert_playground.config.sections.model import ARCHITECTURES
from bert_playground.config.sections.training import Precision
from bert_playground.kernels import activation_dtype
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.tasks import TASKS


def test_tasks_of_the_configuration_are_the_tasks():
    assert get_args(TaskName) == tuple(TASKS)


def test_architectures_of_the_configuration_are_the_encoders():
    assert set(ARCHITECTURES) == set(ENCODERS)


def test_precisions_of_the_configuration_are_those_of_the_kernels():
    for precision in get_args(Precision):
        activation_dtype(precision)
    with pytest.raises(ValueError, match=rf"known: {', '.join(get_args(Precision))}\)"):
        activation_dtype("f8")
