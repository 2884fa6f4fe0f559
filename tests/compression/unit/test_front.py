"""find_front, choose_point, Recipe, match_layers: the small decisions of a search."""

from pathlib import Path

import numpy as np
import pytest

from bert_playground.compression.front import Judged, choose_point, find_front
from bert_playground.compression.importance import Importance
from bert_playground.compression.point import Point
from bert_playground.compression.recipe import Recipe, Shape
from bert_playground.compression.student import match_layers

SHAPE = Shape(6, 12, 1536, 384)


def point(name: str, score: float, milliseconds: float, megabytes: float) -> Point:
    recipe = None if name == "full" else Recipe(layers=1)
    return Point(
        name, Path(name), recipe, score, 0.5, milliseconds, 40 / milliseconds, megabytes, 1
    )


FULL = point("full", 0.80, 40, 90)
POINTS = [
    point("half", 0.798, 20, 60),
    point("quarter", 0.79, 10, 40),
    point("worse", 0.78, 12, 45),
    point("packed", 0.797, 25, 20),
]


def test_the_front_has_whom_nobody_beats_in_everything() -> None:
    assert [p.name for p in find_front(POINTS, "f1")] == ["quarter", "half", "packed"]


def test_of_an_error_less_is_better() -> None:
    names = [p.name for p in find_front([point("a", 3.0, 10, 10), point("b", 2.0, 10, 10)], "rmse")]
    assert names == ["b"]


def judged(*points: Point) -> list[Judged]:
    return [*(Judged(p, p.score, p.score - 0.8, 0.01) for p in points), Judged(FULL, 0.8, 0, 0)]


def test_the_fastest_within_the_drop_is_chosen() -> None:
    chosen, reason = choose_point(judged(*POINTS), "f1", 0.005)
    assert chosen.point.name == "half"
    assert "2.0 times as fast" in reason
    assert "-0.0020 ± 0.0100" in reason
    assert choose_point(judged(*POINTS), "f1", 0.02)[0].point.name == "quarter"


def test_without_any_near_one_the_full_model_stays() -> None:
    chosen, reason = choose_point(judged(*POINTS[1:2]), "f1", 0.005)
    assert chosen.point is FULL
    assert "--max-drop" in reason


def test_a_recipe_names_all_that_is_impossible() -> None:
    with pytest.raises(
        ValueError, match=r"layers is 7, expected 1 to 6.*neurons \(--ffn\) is 700.*704.*bits"
    ):
        Recipe(layers=7, neurons=700, bits=3).filled(SHAPE)
    assert Recipe(layers=3).filled(SHAPE).name == "l3-h12-n1536-importance"


def test_layers_are_chosen_by_worth_spread_or_from_below() -> None:
    importance = Importance(
        np.ones((4, 2)), np.array([[1, 3, 2]] * 4), np.array([0, 0.1, 0.4, 0.2])
    )
    assert importance.choose_layers(2, "importance") == [0, 2]
    assert importance.choose_layers(2, "spread") == [0, 3]
    assert importance.choose_layers(2, "first") == [0, 1]
    assert importance.choose_neurons(0, 2) == [1, 2]


def test_a_layer_takes_the_place_of_those_above_it_that_are_gone() -> None:
    assert match_layers([0, 2, 5], (0, 1, 2, 3, 4, 5)) == {0: 1, 1: 4, 2: 5}
    assert match_layers([0, 2, 5], (1, 5)) == {0: 0, 2: 1}
