"""resolve_columns: the columns that a request names, by their names in the table; refuse_conflicts: none has two parts."""

from collections.abc import Sequence
from typing import Any

from bert_playground.config.schema import DataSection
from bert_playground.data.reading.table import match_column
from bert_playground.data.schema.roles import NO_ID
from bert_playground.data.targets.fit import split_target

SINGLE = ("group_column", "time_column", "weight_column", "series_column")
LISTS = ("drop_columns", "text_columns", "text_pair", "numeric_features")
# What a column that is the answer cannot be as well.
NO_TARGETS = ("id_column", *SINGLE, "drop_columns", "text_columns", "numeric_features")


def resolve_columns(request: DataSection, columns: Sequence[str]) -> DataSection:
    """The request with each column as the table spells it: blanks or quotes around a name may differ.

    A name that no column has stays, for `require_columns` to name it. An id column of "" is NO_ID, as "none" in any spelling.

    Raises:
        ValueError: one setting names a column twice.
    """
    found: dict[str, Any] = {}
    if request.target is not None:
        names = split_target(request.target, columns)
        _refuse_twice("target", names)
        has_odd_names = any(name != name.strip() for name in names)
        if len(names) == 1 or has_odd_names:
            found["target"] = ",".join(names)
    if request.id_column is not None:
        name = match_column(request.id_column, columns)
        is_none = name not in columns and name.strip().lower() in ("", "none")
        found["id_column"] = NO_ID if is_none else name
    for field in SINGLE:
        if (name := getattr(request, field)) is not None:
            found[field] = match_column(name, columns)
    for field in LISTS:
        if isinstance(named := getattr(request, field), tuple):
            found[field] = tuple(match_column(name, columns) for name in named)
            if field != "text_pair":  # which has an error of its own
                _refuse_twice(field, found[field])
    found["kinds"] = {match_column(name, columns): kind for name, kind in request.kinds.items()}
    return request.model_copy(update=found)


def columns_in_use(request: DataSection) -> set[str]:
    """The columns that a request gives a part, so that none of them is inferred to be the target."""
    named = {name for field in SINGLE if (name := getattr(request, field)) is not None}
    lists = (getattr(request, field) for field in LISTS)
    named |= {name for names in lists if isinstance(names, tuple) for name in names}
    return named | {name for name in (request.id_column,) if name not in (None, NO_ID) and name}


def refuse_conflicts(request: DataSection, targets: Sequence[str]) -> None:
    """Check that no column is the target and something else.

    Raises:
        ValueError: one is; all are named.
    """
    faults = []
    for field in NO_TARGETS:
        value = getattr(request, field)
        named = value if isinstance(value, tuple) else (value,)
        faults += [f"data.{field} names {name!r}" for name in named if name in targets]
    if faults:
        raise ValueError(
            f"the target is {', '.join(targets)}, but {', '.join(faults)}: a column that is predicted can be nothing else; "
            "change one of them"
        )


def _refuse_twice(field: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(
            f"data.{field} names {', '.join(map(repr, twice))} more than once; name each column once"
        )
