"""Numbers, dates and lists as people write them: "$1,250", "12 %", "4.0 out of 5 stars", "31.12.2020", "a|b"."""

import polars as pl

# A currency sign may stand before the number; words may follow it.
NUMBER = r"^([-+]?)\s*(?:[$€£¥₹]|US\$|USD|EUR|GBP|INR|Rs\.?)?\s*([-+]?[\d,]*\.?\d+(?:[eE][-+]?\d+)?)(.*)$"
THOUSANDS = r"^[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?$"
DECIMAL_COMMA = r"^[-+]?\d+(?:,\d+)?$"
# What may follow: a unit, the end of an ordinal, or words; the same on all rows but for its plural.
UNIT = r"^(?:\s*[%€$£¥₹°]\w?|\s+[A-Za-z%][^|;]*|st|nd|rd|th)?$"
MAX_UNITS = 4
PLAIN, WORDED, COMMA = "", "worded", "comma"

DATE = r"^(.+?)(?:[ T](\d{1,2}):\d{2}(?::\d{2})?.*)?$"
# The order decides where several fit: "03/04/2020" is read as March 4th unless a day above 12 says otherwise.
DATE_FORMATS = (
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d-%b-%Y",
)
BRACKETS = r"^\[.*\]$"
SEPARATORS = ("|", ";")


def infer_number(values: pl.Series) -> str | None:
    """How the numbers of a column are spelt: PLAIN, WORDED or COMMA; None: they are no numbers.

    Args:
        values: without nulls and surrounding blanks.
    """
    if not len(values):
        return None
    if values.cast(pl.Float64, strict=False).is_not_null().all():
        return PLAIN
    if not values.str.contains(r"\d").all():
        return None
    number, unit = (values.str.extract(NUMBER, group) for group in (2, 3))
    if number.has_nulls() or unit.n_unique() > MAX_UNITS or not unit.str.contains(UNIT).all():
        return None
    if number.str.contains(THOUSANDS).all():
        return WORDED
    is_bare = bool((unit == "").all())
    return COMMA if is_bare and number.str.contains(DECIMAL_COMMA).all() else None


def read_number(value: pl.Expr, spelling: str) -> pl.Expr:
    """Cells as numbers, null where a cell is none; `spelling` is from `infer_number`."""
    if spelling == COMMA:
        value = value.str.replace(",", ".", literal=True)
    elif spelling == WORDED:
        digits = value.str.extract(NUMBER, 2).str.replace_all(",", "", literal=True)
        value = pl.concat_str(value.str.extract(NUMBER, 1), digits)
    return value.cast(pl.Float64, strict=False).fill_nan(None)


def infer_date(values: pl.Series) -> str | None:
    """The first of DATE_FORMATS that reads all values, a time of day behind it or not; None: none does."""
    if not len(values) or not values[:100].str.contains(r"\d.*\d").all():
        return None
    frame = values.to_frame("date")
    for pattern in DATE_FORMATS:
        years = frame.select(read_date(pl.col("date"), pattern).dt.year()).to_series()
        if not years.has_nulls() and not (years < 1000).any():
            return pattern
    return None


def read_date(value: pl.Expr, pattern: str) -> pl.Expr:
    """Cells as dates, null where a cell is none."""
    return value.str.extract(DATE, 1).str.to_date(pattern, strict=False)


def read_hour(value: pl.Expr) -> pl.Expr:
    """The hour of cells with a time of day, two digits."""
    return value.str.extract(DATE, 2).str.zfill(2)


def infer_list(values: pl.Series) -> str | None:
    """What separates the items of a column of lists: "|", ";" or "[" for lists in brackets; None: no lists."""
    if not len(values):
        return None
    if values.str.contains(BRACKETS).all():
        return "["
    for separator in SEPARATORS:
        if values.str.contains(separator, literal=True).sum() >= len(values) / 2:
            items = values.to_frame("v").select(read_items(pl.col("v"), separator)).to_series()
            flat = items.explode().drop_nulls()
            if flat.n_unique() <= max(20, len(flat) / 4):
                return separator
    return None


def read_items(value: pl.Expr, separator: str) -> pl.Expr:
    """Cells as lists of their items, without blanks, quotes and empty ones."""
    if separator == "[":
        value, separator = value.str.strip_chars("[]"), ","
    items = value.str.split(separator).list.eval(pl.element().str.strip_chars(" \t'\""))
    return items.list.filter(pl.element() != "")
