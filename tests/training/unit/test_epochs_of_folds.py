"""choose_epochs: a fold's own rows have no say in the epoch at which it answers."""

import pytest

from bert_playground.training.cross_validation.epochs import choose_epochs


def test_others_choose_the_epoch_of_a_fold() -> None:
    curves = [[1.0, 0.2, 0.9], [0.5, 0.8, 0.4], [0.5, 0.8, 0.4]]
    chosen, everyone = choose_epochs(curves, "min")
    assert chosen == [3, 2, 2]  # sums of the others: 0.8; 1.0; 1.0
    assert everyone == 3  # 2.0, 1.8 and 1.7


def test_the_longest_epoch_is_one_that_every_fold_reached() -> None:
    chosen, everyone = choose_epochs([[3.0, 2.0, 1.0], [3.0, 2.0]], "min")
    assert (chosen, everyone) == ([2, 2], 2)


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 2)])
def test_the_direction_is_that_of_the_metric(mode: str, best: int) -> None:
    assert choose_epochs([[0.9, 0.1], [0.9, 0.1]], mode) == ([best, best], best)


def test_a_changed_curve_of_its_own_does_not_change_the_epoch_of_a_fold() -> None:
    curves = [[0.5, 0.4, 0.6], [0.7, 0.3, 0.5], [0.6, 0.5, 0.2]]
    before, _ = choose_epochs(curves, "min")
    after, _ = choose_epochs([[0.0, 9.0, 9.0], *curves[1:]], "min")
    assert before[0] == after[0]
