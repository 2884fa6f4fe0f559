"""Roles: target, id and task, and the sentences that state the choice."""

import polars as pl
import pytest

from bert_playground.data.schema.roles import infer_roles


def table(**columns: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame(columns)


def test_known_competition_is_recognised() -> None:
    rows = 10
    frame = table(
        **{
            name: [f"{i}" for i in range(rows)]
            for name in ("PassengerId", "Pclass", "Name", "Ticket", "Cabin")
        },
        Survived=["0", "1"] * 5,
    )
    roles = infer_roles(frame)
    assert (roles.target, roles.id_column, roles.task) == ("Survived", "PassengerId", "binary")
    assert roles.statements[0].startswith("target: Survived, binary, 50 % positive")
    assert "override with --target" in roles.statements[0]


def test_what_the_test_table_lacks_is_the_target_and_is_no_feature() -> None:
    frame = table(a=["1", "2", "3"], casual=["1", "2", "3"], count=["4.5", "5", "7"])
    roles = infer_roles(frame, test_columns=["a"])
    assert roles.target == "count"
    assert roles.dropped == ("casual",)
    assert roles.task == "regression"
    assert any("casual" in statement for statement in roles.statements)


def test_a_telling_name_beats_the_last_column() -> None:
    assert infer_roles(table(target=["a", "b"], other=["1", "2"])).target == "target"
    assert infer_roles(table(other=["1", "2"], result=["a", "b"])).target == "result"


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["0", "1"] * 50, "binary"),
        (["low", "high"] * 50, "binary"),
        (["a", "b", "c", "d"] * 25, "multiclass"),
        (["3", "4", "5", "6"] * 25, "multiclass"),
        ([str(i) for i in range(100)], "regression"),
        (["0.5", "1.5", "2.5", "3.5"] * 25, "regression"),
    ],
)
def test_task_follows_the_labels(labels: list[str], task: str) -> None:
    assert infer_roles(table(a=["x"] * 100, y=labels)).task == task


def test_given_target_and_task_are_taken() -> None:
    roles = infer_roles(table(a=["1", "2", "3"], b=["1", "2", "3"]), target="a", task="regression")
    assert (roles.target, roles.task) == ("a", "regression")
    assert "(as given)" in roles.statements[0]


def test_absent_target_names_the_nearest_column() -> None:
    with pytest.raises(ValueError, match="'survived'; did you mean 'Survived'"):
        infer_roles(table(Survived=["0", "1"]), target="survived")


def test_unique_strings_are_no_target() -> None:
    with pytest.raises(ValueError, match="no class; give the right column with --target"):
        infer_roles(table(a=["x"] * 50, b=[f"word {i}" for i in range(50)]))


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("row_id", ["a1", "b2", "c3"], True),
        ("anything", ["5", "6", "9"], True),
        ("anything", ["9", "6", "5"], False),
        ("Id", ["1", "1", "2"], False),
        ("paid", ["x", "y", "z"], False),
    ],
)
def test_id_is_unique_and_named_or_counting(name: str, values: list[str], found: bool) -> None:
    roles = infer_roles(table(**{name: values}, y=["0", "1", "0"]))
    assert roles.id_column == (name if found else None)


LABEL = ["0", "1"] * 20
COUNT = [str(i) for i in range(40)]
AGE = [str(i % 7) for i in range(40)]


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_the_row_numbers_of_a_data_frame_are_left_out_beside_an_id(name: str) -> None:
    frame = pl.DataFrame({name: COUNT, "user_id": COUNT[::-1], "age": AGE, "label": LABEL})
    roles = infer_roles(frame)
    assert (roles.id_column, roles.dropped) == ("user_id", (name,))
    assert f"left out: {name!r} (it only counts the rows)" in roles.statements
    alone = infer_roles(frame.drop("user_id"))
    assert (alone.id_column, alone.dropped) == (name, ())
    assert alone.statements[1].startswith(f"id: {name or repr(name)},")


def test_an_id_that_repeats_on_a_few_rows_is_one_and_it_is_said() -> None:
    roles = infer_roles(table(id=[*COUNT[:39], "0"], age=AGE, label=LABEL))
    assert roles.id_column == "id"
    assert "it repeats on 1 of 40 rows" in roles.statements[1]
    groups = table(id=[str(i // 2) for i in range(40)], age=AGE, label=LABEL)
    assert infer_roles(groups).id_column is None


def test_cells_made_of_the_same_labels_are_lists() -> None:
    tags = ["red;round", "red", None, "round;blue"] * 10
    assert infer_roles(table(age=AGE, tags=tags)).task == "multilabel"
    assert infer_roles(table(age=AGE, tags=["['a', 'b']", "['a']"] * 20)).task == "multilabel"
    assert infer_roles(table(age=AGE, tags=["A|B", "C|D", "E|F", "G"] * 10)).task == "multiclass"


def test_amounts_with_signs_are_a_number_to_predict() -> None:
    price = [f"${i},{i % 10}00" if i else "$50" for i in range(40)]
    roles = infer_roles(table(age=AGE, price=price))
    assert roles.task == "regression"
    assert "50 to 39900" in roles.statements[0]


def test_classes_that_differ_in_capitals_alone_are_said() -> None:
    (said, *_) = infer_roles(table(age=AGE[:39], label=["Yes", "yes", "No"] * 13)).statements
    assert "of which Yes, yes differ in capitals alone" in said


def test_a_table_of_one_column_names_the_delimiters() -> None:
    with pytest.raises(ValueError, match=r"single column .a b label.*between commas"):
        infer_roles(pl.DataFrame({"a b label": ["1 2 0", "3 4 1"]}))


CLAUSES = [f"{('great fit', 'warm coat')[i % 2]}; seam broke {i}" for i in range(40)]


@pytest.mark.parametrize("mark", [";", "|"])
def test_texts_with_delimiters_are_no_lists(mark: str) -> None:
    frame = table(age=AGE, comment=[text.replace(";", mark) for text in CLAUSES])
    with pytest.raises(ValueError, match=r"40 different strings in 40 rows.*no class; give"):
        infer_roles(frame)
    with pytest.raises(ValueError, match="labels of lists stand on several rows each; give the"):
        infer_roles(frame, target="comment", task="multilabel")


def test_lists_of_many_labels_that_repeat_are_lists() -> None:
    tags = [";".join(f"tag{(i * k) % 60}" for k in (1, 3, 7)) for i in range(300)]
    assert infer_roles(table(age=AGE * 8, tags=[*tags, *tags[:20]])).task == "multilabel"


def test_a_mostly_empty_column_is_not_inferred_to_be_the_target() -> None:
    note = [None if i % 12 else "renovated" for i in range(40)]
    roles = infer_roles(table(age=AGE, price=COUNT, note=note))
    assert roles.target == "price"
    assert "(the last column, but for 'note', mostly empty)" in roles.statements[0]
    lists = table(age=AGE, tags=["red;round", "red", None, None, None] * 8)
    assert infer_roles(lists).target == "tags"  # a row may have no label


def test_an_error_about_an_inferred_target_says_so() -> None:
    frame = table(age=AGE, grade=["a", "b", None, "b"] * 10)
    inferred = r"target grade was inferred \(the last column\): .* --target; else: .* 10 of 40 rows"
    with pytest.raises(ValueError, match=inferred):
        infer_roles(frame)
    with pytest.raises(ValueError, match=r"^target 'grade' is missing in 10 of 40"):
        infer_roles(frame, target="grade")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "row"])
def test_there_may_be_no_id(name: str) -> None:
    frame = pl.DataFrame({name: COUNT, "age": AGE, "label": LABEL})
    roles = infer_roles(frame, id_column="none")
    assert roles.id_column is None
    assert roles.dropped == ((name,) if name != "row" else ())
    assert "id: none (as given), rows are named by their number" in roles.statements
    called = infer_roles(frame.rename({name: "none"}), id_column="none")
    assert called.id_column == "none"
