"""Numbers, dates and lists as people write them: "$1,250", "12 %", "€1.2M", "4.0 out of 5 stars", "31.12.2020", "a|b"."""

import polars as pl

# Digits are [0-9]: \d would match those of every script, which no cast reads. A currency sign may stand before the
# number; a unit or words may follow it.
_START = r"^([-+]?)\s*(?:[$€£¥₹]|US\$|USD|EUR|GBP|INR|Rs\.?)?\s*"
NUMBER = _START + r"([-+]?[0-9,]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)(.*)$"
THOUSANDS = (
    r"^[-+]?(?:[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}|[0-9]+)?(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"
)
COMMA_NUMBER = _START + r"([-+]?[0-9][0-9.]*(?:,[0-9]+)?)(.*)$"
DECIMAL_COMMA = r"^[-+]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?$"
# Thousands apart by a blank, a narrow one or an apostrophe: "1 250 000", "1'250".
GROUPED = r"^[^0-9]*[0-9]{1,3}(?:[ \x{A0}\x{202F}'\x{2019}][0-9]{3})+(?:\s*[^0-9\s]|$)"
# What may follow: a unit, the end of an ordinal, or words; the same on all rows but for its plural.
UNIT = r"^(?:\s*[%€$£¥₹°]\w?|\s+[A-Za-z%][^|;]*|\+|st|nd|rd|th)?$"
TIGHT_UNIT = r"^(?:[A-Za-z]{1,4}|\s*/\s*[0-9]+)$"  # "5kg", "4/5": only where all rows have it
ENDS_OF_ORDINALS = ("st", "nd", "rd", "th")
SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "thousand": 1e3, "million": 1e6, "billion": 1e9}
PLAIN, WORDED, COMMA, SCALED = "", "worded", "comma", "scaled"

DATE = r"^(.+?)(?:[ T]([0-9]{1,2}):[0-9]{2}(?::[0-9]{2})?.*)?$"
HOUR = r"(?:^|[ T])([0-9]{1,2}):[0-9]{2}"
AFTERNOON, MORNING = (rf"(?i)[0-9]\s*{letter}\.?m\.?$" for letter in "pa")
TWO_DIGITS = r"[0-9].*[0-9]"  # every date has them
CLOCK_TIME = r"^(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?(?i:\s*[ap]m)?$"
CLOCK = "%H:%M"  # a time of day alone, with seconds or not
COMPACT = "%Y%m%d"
COMPACT_DATE = r"^(?:19|20)[0-9]{6}$"
# The order decides where several fit: "03/04/2020" is read as March 4th unless a day above 12 says otherwise.
DATE_FORMATS = (
    "%Y-%m-%d",
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
    "%a, %d %b %Y",
    "%Y-%m",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%b-%y",
)
BRACKETS = r"^\[.*\]$"
SEPARATORS = ("|", ";")


def infer_number(values: pl.Series) -> str | None:
    """How the numbers of a column are spelt: PLAIN, WORDED, COMMA or SCALED; None: they are no numbers.

    Args:
        values: without nulls and surrounding blanks.
    """
    if not len(values):
        return None
    if values.cast(pl.Float64, strict=False).is_not_null().all():
        return PLAIN
    if not values.str.contains("[0-9]").all():
        return None
    signed = values.to_frame("v").select(_with_plain_signs(pl.col("v"))).to_series()
    for number, form, spelling in (
        (NUMBER, THOUSANDS, WORDED),
        (COMMA_NUMBER, DECIMAL_COMMA, COMMA),
    ):
        digits = signed.str.extract(number, 2)
        if digits.has_nulls() or not digits.str.contains(form).all():
            continue
        units = signed.str.extract(number, 3).unique()
        if spelling == WORDED and set(units.str.strip_chars()) - {""} and _are_scales(units):
            return SCALED
        if _are_one_unit(units):
            return spelling
    return None


def begins_with_number(value: pl.Expr) -> pl.Expr:
    """Whether cells are numbers in one of the spellings of `infer_number`, which all values must be, or begin so."""
    return _with_plain_signs(value).str.contains(NUMBER)


def _are_scales(units: pl.Series) -> bool:
    return bool(units.str.strip_chars().is_in(["", *SCALES]).all())


def _are_one_unit(units: pl.Series) -> bool:
    """Whether all rows mean the same: minutes are no hours, and "1 h 30 min" is no number."""
    if units.is_in(ENDS_OF_ORDINALS).all():
        return True
    bare = units.str.strip_chars().str.to_lowercase().str.replace(r"(?:e|es|s)$", "")
    named = bare.filter(bare != "").unique()
    if len(named) > 1:
        return False
    return bool(units.str.contains(UNIT).all() or units.str.contains(TIGHT_UNIT).all())


def _with_plain_signs(value: pl.Expr) -> pl.Expr:
    """A minus of typesetters, an amount in parentheses, which is negative, and thousands that stand apart, written plainly."""
    value = value.str.replace("\N{MINUS SIGN}", "-", literal=True).str.replace(
        r"^\((.*[0-9].*)\)$", "-${1}"
    )
    joined = value.str.replace_all(r"([0-9])[ \x{A0}\x{202F}'\x{2019}]([0-9])", "${1}${2}")
    return pl.when(value.str.contains(GROUPED)).then(joined).otherwise(value)


def read_number(value: pl.Expr, spelling: str) -> pl.Expr:
    """Cells as numbers, null where a cell is none; `spelling` is from `infer_number`."""
    if spelling == PLAIN:
        return value.cast(pl.Float64, strict=False).fill_nan(None)
    value = _with_plain_signs(value)
    if spelling == COMMA:
        digits = value.str.extract(COMMA_NUMBER, 2).str.replace_all(r"\.([0-9]{3})", "${1}")
        text = pl.concat_str(
            value.str.extract(COMMA_NUMBER, 1), digits.str.replace(",", ".", literal=True)
        )
    else:
        digits = value.str.extract(NUMBER, 2).str.replace_all(",", "", literal=True)
        text = pl.concat_str(value.str.extract(NUMBER, 1), digits)
    number = text.cast(pl.Float64, strict=False).fill_nan(None)
    if spelling != SCALED:
        return number
    scale = value.str.extract(NUMBER, 3).str.strip_chars()
    return number * scale.replace_strict(SCALES, default=1.0, return_dtype=pl.Float64)


def infer_date(values: pl.Series) -> str | None:
    """The first of DATE_FORMATS that reads all values, a time of day behind it or not; None: none does."""
    if not len(values) or not values[:100].str.contains(TWO_DIGITS).all():
        return None
    frame = values.to_frame("date")
    reads = [read_date(pl.col("date"), pattern).is_not_null() for pattern in DATE_FORMATS]
    reads_first = frame[:1].select(pl.concat_list(reads)).item()
    for pattern, is_possible in zip(DATE_FORMATS, reads_first, strict=True):
        if not is_possible:  # the first value, for most
            continue
        years = frame.select(read_date(pl.col("date"), pattern).dt.year()).to_series()
        if not years.has_nulls() and not (years < 1000).any():
            return pattern
    return None


def infer_numeric_date(values: pl.Series) -> str | None:
    """COMPACT for dates such as 20201231, CLOCK for times of day such as 9:05; None: neither."""
    if values.str.contains(COMPACT_DATE).all():
        dates = values.to_frame("date").select(read_date(pl.col("date"), COMPACT)).to_series()
        return None if dates.has_nulls() else COMPACT
    return CLOCK if values.str.contains(CLOCK_TIME).all() else None


def read_date(value: pl.Expr, pattern: str) -> pl.Expr:
    """Cells as dates, null where a cell is none; a pattern without a day means the first of the month."""
    if pattern == CLOCK:
        return value.str.to_date("%Y", strict=False)  # a time is of no day
    if any(part in pattern for part in ("%H", "%I", "%T")):
        return value.str.to_datetime(pattern, strict=False, time_unit="us").dt.date()
    date = value.str.extract(DATE, 1)
    if pattern == "%Y-%m":
        date, pattern = pl.concat_str(date, pl.lit("-01")), "%Y-%m-%d"
    return date.str.to_date(pattern, strict=False)


def read_hour(value: pl.Expr) -> pl.Expr:
    """The hour of cells with a time of day, two digits, 00 to 23."""
    return hour_of_day(value).cast(pl.String).str.zfill(2)


def hour_of_day(value: pl.Expr) -> pl.Expr:
    """The hour of cells with a time of day, 0 to 23; null where there is none."""
    hour = value.str.extract(HOUR, 1).cast(pl.Int64)
    later = pl.when(value.str.contains(AFTERNOON)).then(hour % 12 + 12)
    return later.when(value.str.contains(MORNING)).then(hour % 12).otherwise(hour)


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
