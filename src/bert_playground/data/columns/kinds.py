"""What the values of a column are: a number, category, ordinal, date, list, text or other kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from bert_playground.data.columns.parsing import (
    BRACKETS,
    CLOCK,
    CLOCK_TIME,
    COMPACT_DATE,
    DATE_FORMATS,
    PLAIN,
    SEPARATORS,
    TWO_DIGITS,
    begins_with_number,
    infer_date,
    infer_list,
    infer_number,
    infer_numeric_date,
    read_date,
    read_hour,
)
from bert_playground.data.columns.wide import (
    MANY,
    chunks,
    count_cells,
    count_distinct,
    stack_columns,
)
from bert_playground.lookup import look_up, shorten

MISSING = (
    "",
    "?",
    "nan",
    "null",
    "#n/a",
)  # in lower case; no cell of any column means anything by these
NONE = ("na", "n/a", "none")  # no number, but in a category often an answer: "no garage"
DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?.*)?$"
NAME_PATTERN = r"^[^,]+, *([A-Z][A-Za-z ]*)\. "  # "Surname, Title. First names"


KINDS = (
    "number",
    "ordinal",
    "category",
    "boolean",
    "date",
    "list",
    "text",
    "name",
    "code",
    "words",
    "nothing",
)
FEW = 20  # different words are categories, however many rows there are
MAX_ODD = 5  # so many different cells of a column of numbers may be something else
BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"})
SCALES = (
    ("very low", "low", "medium", "high", "very high"),
    ("xs", "s", "m", "l", "xl", "xxl"),
    ("small", "medium", "large"),
    ("never", "rarely", "sometimes", "often", "frequently", "usually", "always"),
    ("no", "never", "sometimes", "frequently", "always"),
    ("very poor", "poor", "fair", "average", "good", "very good", "excellent"),
    ("po", "fa", "ta", "gd", "ex"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
)  # in lower case, each from its lowest step to its highest
# All other words are categories of the usual kind.
SCALED_WORDS = sorted({*NONE}.union(*BOOLEANS, *SCALES))


@dataclass(frozen=True)
class Kind:
    """What one feature column holds.

    Attributes:
        name: a name in KINDS. "name" is a person's name with a title, "code" a short string with digits, "words" any
            other string that is nearly unique: these identify. "nothing" has no value at all, or one.
        num_values: rows that have a value.
        num_distinct: distinct values.
        spelling: of numbers, dates and lists; see parsing.py.
        odd: the few cells of a column of numbers or dates that are none.
    """

    name: str
    num_values: int
    num_distinct: int
    spelling: str = ""
    odd: tuple[str, ...] = ()

    @property
    def is_identifying(self) -> bool:
        """Whether its values point at rows rather than describe them."""
        return self.name in ("name", "code", "words")


def clean(column: pl.Series) -> pl.Series:
    """The column without surrounding blanks, and null where the cell is missing."""
    cell = pl.col("cell").str.strip_chars()
    kept = pl.when(cell.str.to_lowercase().is_in(MISSING)).then(None).otherwise(cell)
    return column.to_frame("cell").select(cell=kept).to_series().alias(column.name)


def infer_all(frame: pl.DataFrame, names: Sequence[str] | None = None) -> dict[str, Kind]:
    """Column → its kind, as `infer_kind` tells it; of many columns all are told together but those of a rare form.

    Args:
        frame: all cells as text.
        names: of the columns; None: all.
    """
    names = frame.columns if names is None else names
    found: dict[str, Kind] = {}
    if len(names) >= MANY and frame.height:
        for part in chunks(names, frame.height):
            found.update(_infer_together(frame, part))
    return {name: found[name] if name in found else infer_kind(frame[name]) for name in names}


def _infer_together(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, Kind]:
    """The kinds of columns that are numbers without signs, strings or nothing; others are left out."""
    cleaned = clean(stack_columns(frame, names))
    is_none = cleaned.str.to_lowercase().is_in(NONE).fill_null(True)
    cells = pl.DataFrame({"value": cleaned, "plain": cleaned.set(is_none, None)})
    value, plain = pl.col("value"), pl.col("plain")
    counts = count_cells(
        cells,
        len(names),
        values=value.is_not_null(),
        plain=plain.is_not_null(),
        numbers=plain.cast(pl.Float64, strict=False).is_not_null(),
        compact=plain.str.contains(COMPACT_DATE),
    )
    counts |= {
        "distinct": count_distinct(cells["value"], len(names)),
        "different": count_distinct(cells["plain"], len(names)),
    }
    is_nothing = counts["distinct"] <= 1
    is_plain = (counts["plain"] == counts["numbers"]) & (counts["plain"] > 0)
    is_number = is_plain & (counts["plain"] != counts["compact"]) & ~is_nothing
    is_string = ~is_nothing & ~is_plain
    found = {}
    for place in np.flatnonzero(is_nothing | is_number).tolist():
        each = {what: int(count[place]) for what, count in counts.items()}
        if is_nothing[place]:
            found[names[place]] = Kind("nothing", each["values"], each["distinct"])
        else:
            kind = "number" if each["different"] > 1 else "category"
            found[names[place]] = Kind(kind, each["plain"], each["different"], PLAIN)
    if is_string.any():
        strings = [names[place] for place in np.flatnonzero(is_string).tolist()]
        cells = cells.filter(np.repeat(is_string, frame.height))
        found |= _infer_strings(
            cells, strings, {what: count[is_string] for what, count in counts.items()}
        )
    return found


def _infer_strings(
    cells: pl.DataFrame, names: Sequence[str], counts: dict[str, np.ndarray]
) -> dict[str, Kind]:
    """The kinds of columns of strings, and of dates such as 2020-12-31; what could be another form is left out.

    Args:
        cells: one column below the other, "value" null where a cell is missing, "plain" where it is one of NONE too.
        names: of the columns.
        counts: of each column's cells, [C], as `_infer_together` has them.
    """
    value, plain = pl.col("value"), pl.col("plain")
    counts = counts | count_cells(
        cells,
        len(names),
        dates=plain.str.contains(DATE_PATTERN),
        amounts=begins_with_number(plain),
        clocks=plain.str.contains(CLOCK_TIME),
        digits=plain.str.contains(TWO_DIGITS),
        brackets=value.str.contains(BRACKETS),
        unscaled=~value.str.to_lowercase().is_in(SCALED_WORDS),
        **{sign: value.str.contains(sign, literal=True) for sign in SEPARATORS},
        **_string_facts(value),
    )
    num_values, num_plain = counts["values"], counts["plain"]
    odd_dates, odd_numbers = num_plain - counts["digits"], num_plain - counts["numbers"]
    could_be_other = (counts["amounts"] == num_plain) | (counts["clocks"] == num_plain)
    could_be_other |= _begin_with_date(cells["plain"], len(names))
    could_be_other |= (odd_dates > 0) & (odd_dates <= num_plain / 20)
    could_be_other |= (odd_numbers <= num_plain / 20) & (counts["numbers"] > MAX_ODD)
    could_be_list = counts["brackets"] == num_values
    for sign in SEPARATORS:
        could_be_list |= counts[sign] >= num_values / 2
    is_left_out = could_be_list | (could_be_other & (num_plain > 0))
    found = {}
    for place, name in enumerate(names):
        each = {what: int(count[place]) for what, count in counts.items()}
        if 0 < each["plain"] == each["dates"]:
            found[name] = Kind("date", each["plain"], each["different"])
        elif not is_left_out[place]:
            kind = _string_kind(each["values"], each["distinct"], each)
            if kind == "category" and not each["unscaled"]:
                height = cells.height // len(names)
                own = cells["value"][place * height : (place + 1) * height]
                kind = _category_kind(own.drop_nulls())
            found[name] = Kind(kind, each["values"], each["distinct"])
    return found


def _begin_with_date(plain: pl.Series, num_columns: int) -> np.ndarray:
    """Whether the first value of each of several columns is a date of a known format, [C]."""
    column = np.arange(num_columns).repeat(len(plain) // num_columns)
    first = pl.DataFrame({"column": column, "date": plain}).group_by("column", maintain_order=True)
    reads = [read_date(pl.col("date"), pattern).is_not_null() for pattern in DATE_FORMATS]
    found = first.agg(pl.col("date").drop_nulls().first()).select(pl.any_horizontal(reads))
    return found.to_series().fill_null(False).to_numpy()


def infer_kind(column: pl.Series) -> Kind:
    """Tell the kind of a column from statistics of its values, never from its name."""
    cleaned = clean(column)
    is_none = cleaned.str.to_lowercase().is_in(NONE)
    values = cleaned.drop_nulls()
    plain = cleaned.filter(~is_none.fill_null(True))  # numbers and dates: "NA" is no value
    distinct = values.n_unique()
    if distinct <= 1:
        return Kind("nothing", len(values), distinct)
    if len(plain) and plain.str.contains(DATE_PATTERN).all():
        return Kind("date", len(plain), plain.n_unique())
    spelling = infer_number(plain)
    pattern = infer_numeric_date(plain) if len(plain) else None
    if pattern is None and spelling != PLAIN:
        pattern = infer_date(plain)  # "5 Mar 2020" is 5 of something too
    if pattern is not None:
        return Kind("date", len(plain), plain.n_unique(), pattern)
    if spelling is not None:
        name = "number" if plain.n_unique() > 1 else "category"
        return Kind(name, len(plain), plain.n_unique(), spelling)
    almost = _almost_number(plain) or _almost_date(plain)
    if almost is not None:
        return almost
    separator = infer_list(values)
    if separator is not None:
        return Kind("list", len(values), distinct, separator)
    facts = {what: fact.sum() for what, fact in _string_facts(pl.col("value")).items()}
    counts = values.to_frame("value").select(**facts).row(0, named=True)
    kind = _string_kind(len(values), distinct, counts)
    kind = _category_kind(values) if kind == "category" else kind
    return Kind(kind, len(values), distinct)


def as_kind(column: pl.Series, given: str) -> Kind:
    """The kind that the user says a column has: a name in KINDS, or a date's format such as "%d/%m/%Y".

    Raises:
        ValueError: no such kind, or one that the values do not have.
    """
    name = "date" if "%" in given else given
    look_up(dict.fromkeys(KINDS), name, "kind of column")
    inferred = infer_kind(column)
    values = clean(column).drop_nulls()
    spelling = given if "%" in given else inferred.spelling if inferred.name == name else ""
    if name == "list" and not spelling:
        spelling = next(
            (sign for sign in ("|", ";", ",") if values.str.contains(sign, literal=True).any()), "|"
        )
    kind = Kind(name, len(values), values.n_unique(), spelling)
    if "%" in given and not _reads_some(values, given):
        raise ValueError(
            f"column {column.name!r} is to hold dates such as {given}, but holds {shorten(values[:3])}; "
            "correct the format in data.kinds"
        )
    if (
        name == "number"
        and inferred.name != "number"
        and values.cast(pl.Float64, strict=False).is_null().all()
    ):
        raise ValueError(
            f"column {column.name!r} is to be a number, but holds {shorten(values[:3])}"
        )
    return kind


def infer_kinds(
    frame: pl.DataFrame,
    *,
    skip: Sequence[str] = (),
    text_columns: Sequence[str] = (),
    id_column: str | None = None,
    given_kinds: Mapping[str, str] | None = None,
    inferred: Mapping[str, Kind] | None = None,
) -> dict[str, Kind]:
    """The kinds of the columns that are features.

    Args:
        frame: the training rows, all cells as text.
        skip: columns that are no features: the target and what the user drops.
        text_columns: kept word by word, whatever their values look like.
        id_column: no feature either, unless it is a date.
        given_kinds: names in KINDS for columns whose kind is not to be inferred.
        inferred: of all columns, where that is done; see `infer_all`.

    Raises:
        ValueError: a kind is given of a column that is no feature.
    """
    told = sorted({*(given_kinds or {}), *text_columns} & {*skip})
    if told:
        raise ValueError(
            f"data.kinds and data.text_columns name {shorten(told)}, which must not be read: the target, or a column that "
            "is left out; name other columns"
        )
    left_out = {*skip}
    kept = [name for name in frame.columns if name not in left_out]
    kinds = infer_all(frame, kept) if inferred is None else {name: inferred[name] for name in kept}
    if id_column in kinds and kinds[id_column].name != "date":
        del kinds[id_column]
    given = {**(given_kinds or {}), **dict.fromkeys(text_columns, "text")}
    for name in given:
        kinds[name] = as_kind(frame[name], given[name])
    if all(kind.is_identifying or kind.name == "nothing" for kind in kinds.values()):
        kinds = {
            name: replace(kind, name="text", spelling="", odd=()) if kind.is_identifying else kind
            for name, kind in kinds.items()
        }
    return kinds


def _reads_some(values: pl.Series, pattern: str) -> bool:
    date = pl.col("date")
    read = read_hour(date) if pattern == CLOCK else read_date(date, pattern)
    try:
        dates = values.to_frame("date").select(read).to_series()
    except pl.exceptions.PolarsError:  # no such format
        return False
    return dates.null_count() < len(dates)


def _almost_number(plain: pl.Series) -> Kind | None:
    """A column of numbers with a few words in it, such as "unknown": those words are read as missing."""
    is_number = plain.cast(pl.Float64, strict=False).is_not_null()
    odd, numbers = plain.filter(~is_number), plain.filter(is_number)
    is_mostly = len(odd) <= len(plain) / 20 and odd.n_unique() <= MAX_ODD
    if not is_mostly or numbers.n_unique() <= MAX_ODD:
        return None
    return Kind("number", len(numbers), numbers.n_unique(), odd=tuple(odd.unique().sort()))


def _almost_date(plain: pl.Series) -> Kind | None:
    """A column of dates with a few words in it."""
    is_date = plain.str.contains(TWO_DIGITS)
    odd, dates = plain.filter(~is_date), plain.filter(is_date)
    if not len(odd) or len(odd) > len(plain) / 20 or odd.n_unique() > MAX_ODD:
        return None
    pattern = infer_date(dates)
    if pattern is None:
        return None
    return Kind("date", len(dates), dates.n_unique(), pattern, odd=tuple(odd.unique().sort()))


def _string_facts(value: pl.Expr) -> dict[str, pl.Expr]:
    """What is counted of strings."""
    return {
        "words": value.str.count_matches(r"\S+"),
        "names": value.str.contains(NAME_PATTERN),
        "codes": value.str.contains(r"\d"),
    }


def _string_kind(num_values: int, distinct: int, counts: Mapping[str, int]) -> str:
    """The kind of strings, a category of any sort as "category"; `counts` are those of `_string_facts`."""
    words = counts["words"] / num_values
    if words >= 6 and distinct > FEW:
        return "text"
    if distinct <= FEW or distinct <= 0.3 * num_values:
        return "category"
    if counts["names"] / num_values >= 0.8:
        return "name"
    if counts["codes"] / num_values >= 0.8 and words < 4:
        return "code"
    return "text" if words >= 5 else "words"


def _category_kind(values: pl.Series) -> str:
    distinct = set(values.str.to_lowercase().unique())
    if distinct in BOOLEANS:
        return "boolean"
    is_scale = len(distinct) > 2 and any(distinct - {*NONE} <= {*scale} for scale in SCALES)
    return "ordinal" if is_scale else "category"
