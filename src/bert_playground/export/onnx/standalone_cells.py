"""Cells become the text of a row as plan.json says: the first part of predict.py, without polars or MLX."""

import bisect
import datetime
import math
import re
import unicodedata
from collections.abc import Callable
from typing import Any

Row = dict[str, str | None]
Piece = dict[str, Any]
MISSING = ("", "?", "nan", "null", "#n/a")
NONE = ("na", "n/a", "none")
FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?i:inf|infinity)")
SIGN = r"^([-+]?)\s*(?:[$€£¥₹]|US\$|USD|EUR|GBP|INR|Rs\.?)?\s*"
NUMBER = re.compile(SIGN + r"([-+]?[0-9,]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)([^\n]*)\Z")
COMMA_NUMBER = re.compile(SIGN + r"([-+]?[0-9][0-9.]*(?:,[0-9]+)?)([^\n]*)\Z")
GROUPED = re.compile(r"^[^0-9]*[0-9]{1,3}(?:[ \xa0\u202f'\u2019][0-9]{3})+(?:\s*[^0-9\s]|\Z)")
SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "thousand": 1e3, "million": 1e6, "billion": 1e9}
ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?[^\n]*)?\Z")
DATE = re.compile(r"^([^\n]+?)(?:[ T]([0-9]{1,2}):[0-9]{2}(?::[0-9]{2})?[^\n]*)?\Z")
CLOCK = re.compile(r"(?:^|[ T])([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?")
NAME = re.compile(r"^[^,]+, *([A-Z][A-Za-z ]*)\. ")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DATE_PARTS = {
    "%Y": r"(?P<year>[0-9]{1,4})",
    "%y": r"(?P<short>[0-9]{1,2})",
    "%m": r"(?P<month>[0-9]{1,2})",
    "%d": r"(?P<day>[0-9]{1,2})",
    "%b": rf"(?P<name>{'|'.join(month[:3] for month in MONTHS)})",
    "%B": rf"(?P<name>{'|'.join(f'{month}|{month[:3]}' for month in MONTHS)})",
    "%a": rf"(?P<weekday>{'|'.join(day[:3] for day in WEEKDAYS)})",
}


def value_of(cell: str | None) -> str | None:
    """A cell without blanks around it; None where it says that there is no value."""
    text = "" if cell is None else cell.strip()
    return None if text.lower() in MISSING else text


def parse_float(text: str) -> float | None:
    """A plain number; None: it is none."""
    return float(text) if FLOAT.fullmatch(text) else None


def read_number(text: str | None, spelling: str) -> float | None:
    """A number as the column spells it: plain, "worded" ($1,250), "comma" (1.250,5) or "scaled" (1.2M)."""
    if text is None or spelling == "":
        return None if text is None else parse_float(text)
    text = re.sub(r"^\(([^\n]*[0-9][^\n]*)\)\Z", r"-\1", text.replace("\u2212", "-", 1))
    if GROUPED.search(text):
        text = re.sub(r"([0-9])[ \xa0\u202f'\u2019]([0-9])", r"\1\2", text)
    found = (COMMA_NUMBER if spelling == "comma" else NUMBER).search(text)
    if found is None:
        return None
    sign, digits, rest = found.groups()
    if spelling == "comma":
        digits = re.sub(r"\.([0-9]{3})", r"\1", digits).replace(",", ".", 1)
    else:
        digits = digits.replace(",", "")
    number = parse_float(sign + digits)
    scale = SCALES.get(rest.strip(), 1.0) if spelling == "scaled" else 1.0
    return None if number is None else number * scale


def read_date(text: str, form: str) -> datetime.date | None:
    """The day of a cell in a form such as "%d.%m.%Y"; a form without a day means the first of the month."""
    found = DATE.search(text)
    if found is None or form == "%H:%M":
        return None
    pattern = re.sub(
        r"%[A-Za-z]", lambda part: DATE_PARTS[part[0]], re.escape(form).replace(r"\%", "%")
    )
    parts = re.fullmatch(pattern, found[1].strip(), re.IGNORECASE)
    if parts is None:
        return None
    part = parts.groupdict()
    year = int(part.get("year") or 0) or int(part["short"]) + (
        2000 if int(part["short"]) < 70 else 1900
    )
    names = [month[:3] for month in MONTHS]
    month = names.index(part["name"].lower()[:3]) + 1 if part.get("name") else int(part["month"])
    try:
        date = datetime.date(year, month, int(part.get("day") or 1))
    except ValueError:
        return None
    weekday = part.get("weekday")
    return (
        date if weekday is None or WEEKDAYS[date.weekday()].lower()[:3] == weekday.lower() else None
    )


def hour_of(text: str) -> int | None:
    """The hour of a cell with a time of day."""
    found = CLOCK.search(text)
    if found is None:
        return None
    half = re.search(r"[0-9]\s*([pa])\.?m\.?\Z", text, re.IGNORECASE)
    if half is None:
        return int(found[1])
    return int(found[1]) % 12 + (12 if half[1].lower() == "p" else 0)


def read_time(cell: str | None, form: str) -> float:
    """A number, or the seconds of a date, for ordering and quantiles; NaN where a cell is neither."""
    text = value_of(cell)
    if "%" not in form:
        number = read_number(text, form)
        return math.nan if number is None else number
    if text is None:
        return math.nan
    hour, clock = hour_of(text), CLOCK.search(text)
    seconds = 60 * float(clock[2]) + float(clock[3] or 0) if clock else 0.0
    if form == "%H:%M":
        return math.nan if hour is None else 3600 * hour + seconds
    date = read_date(text, form)
    if date is None:
        return math.nan
    return 86400.0 * (date.toordinal() - 719163) + 3600 * (hour or 0) + seconds


def spell(number: float) -> str:
    """A number in the fewest digits that give it back, as the training text has it."""
    if number != number or number in (math.inf, -math.inf):
        return "NaN" if number != number else str(number)
    text = repr(number)
    if "e-" in text:
        digits, _, power = text.partition("e-")
        if int(power) == 5:
            sign, digits = ("-", digits[1:]) if digits[0] == "-" else ("", digits)
            return f"{sign}0.0000{digits.replace('.', '')}"
        return f"{digits}e-{int(power)}"
    return text


def spell_whole(number: float) -> str:
    """As `spell`, without ".0" at the end."""
    return spell(number).removesuffix(".0")


def round_figures(number: float, digits: int) -> float:
    """To so many significant figures, halves away from zero."""
    if number == 0 or not math.isfinite(number):
        return number
    scale = 10.0 ** (digits - 1 - math.floor(math.log10(abs(number))))
    scaled = abs(number) * scale
    whole = math.floor(scaled) + (scaled - math.floor(scaled) >= 0.5)
    return math.copysign(whole / scale, number)


def read_items(text: str, separator: str) -> list[str]:
    """The items of a cell that is a list."""
    if separator == "[":
        text, separator = text.strip("[]"), ","
    items = [item.strip(" \t'\"") for item in text.split(separator)]
    return [item for item in items if item]


# ---- cells that mean a value of training and are written otherwise ----

TRUE = ("true", "yes", "y", "t", "1", "1.0", "on")
FALSE = ("false", "no", "n", "f", "0", "0.0", "off")


def keys_of(text: str) -> list[tuple[str, Any]]:
    """What a cell has in common with others that mean the same: letters, a number, yes or no."""
    folded = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip().lower()
    keys: list[tuple[str, Any]] = [("letters", folded)]
    if re.fullmatch(r"[-+]?[0-9]+(?:\.[0-9]+)?", text) and abs(float(text)) < 2**53:
        keys.append(("number", float(text)))
    if folded in TRUE or folded in FALSE:
        keys.append(("meaning", folded in TRUE))
    return keys


def make_respelling(values: list[str]) -> dict[tuple[str, Any], str]:
    """From such a key to the one value of training that has it; yes and no only where both are all the values."""
    found: dict[tuple[str, Any], list[str]] = {}
    for value in values:
        for key in keys_of(value):
            found.setdefault(key, []).append(value)
    single = {key: own[0] for key, own in found.items() if len(own) == 1}
    meant = {key[1] for key in single if key[0] == "meaning"}
    is_closed = len(values) == 2 and meant == {True, False}
    return {key: value for key, value in single.items() if key[0] != "meaning" or is_closed}


def respell(cell: str | None, column: dict[str, Any]) -> str | None:
    """A cell as training writes it, where it means one value of training; others stay as they are."""
    text = value_of(cell)
    if text is None or (
        column["spelling"] is not None and read_number(text, column["spelling"]) is not None
    ):
        return cell
    said = "none" if text.lower() in NONE else text
    if said in column["values"]:
        return cell
    table = column.setdefault("table", make_respelling(column["values"]))
    return next((table[key] for key in keys_of(text) if key in table), cell)


# ---- what a piece of a row's text says of its cell; None: missing ----


def say_number(piece: Piece, cell: str | None) -> str | None:
    """A number as its bin, or in the digits that the template writes."""
    number = read_number(None if cell is None else cell.strip(), piece["spelling"])
    if number is None:
        return None
    if piece["numbers"] == "bins":
        return str(piece["known"][bisect.bisect_left(piece["edges"], number)])
    if piece["numbers"] == "magnitude":
        if number == 0 or not math.isfinite(number):
            return "0" if number == 0 else None
        power = math.floor(math.log(abs(number), 10))  # of 1000 it is just below 3, as in polars
        return f"e{power} {spell(round(number / 10.0**power * 100) / 100)}"
    return spell_whole(round_figures(number, 4) if piece["numbers"] == "rounded" else number)


def say_known(piece: Piece, has_value: bool, word: str | None, absent: str) -> str | None:
    """A word of the value if training rows had it; `absent` where a value has no such word."""
    known = piece["known"]
    if not has_value:
        return None
    if not known:
        return absent if word is None else word
    if word in known:
        return word
    return absent if word is None and absent in known and absent != "other" else "other"


def say_date(piece: Piece, cell: str | None) -> str | None:
    """The year, month, day, weekday or hour of a date."""
    text = "" if cell is None else cell.strip()
    form, part = piece["spelling"], piece["part"]
    if not form:
        if not ISO_DATE.search(text):
            return None
        date = read_date(text[:10], "%Y-%m-%d")
    else:
        date = read_date(text, form)
    if part == "hour":
        hour = hour_of(text)
        return None if hour is None else f"{hour:02d}"
    if date is None:
        return None
    return WEEKDAYS[date.weekday()] if part == "weekday" else str(getattr(date, part))


def say_words(piece: Piece, text: str | None) -> str | None:
    """The words that many training rows had."""
    if text is None:
        return None
    words = re.findall(r"\w+", text.lower())
    if piece["known"]:
        words = list(dict.fromkeys(word for word in words if word in piece["known"]))
    return " ".join(words) or "other"


def say_list(piece: Piece, text: str | None) -> str | None:
    """The items that training rows had."""
    if text is None:
        return None
    items = read_items(text, piece["spelling"])
    return (
        ", ".join(item for item in items if not piece["known"] or item in piece["known"]) or "other"
    )


def say_title(piece: Piece, text: str | None) -> str | None:
    """The title in a person's name."""
    found = NAME.search(text or "")
    return say_known(piece, text is not None, found[1].strip() if found else None, "other")


def say_prefix(piece: Piece, text: str | None) -> str | None:
    """The leading letters of a code."""
    found = re.search(r"^([A-Za-z]+)", text or "")
    return say_known(piece, text is not None, found[1].upper() if found else None, "number")


def say_category(piece: Piece, text: str | None) -> str | None:
    """The cell itself, but one word for all that say "none"."""
    return "none" if text is not None and text.lower() in NONE else text


# What each of FORMS in features.py says; a form that is not here is not exported.
SAYINGS: dict[str, Callable[[Piece, str | None], str | None]] = {
    "number": say_number,
    "category": say_category,
    "text": lambda piece, text: text,
    "title": say_title,
    "prefix": say_prefix,
    "words": say_words,
    "date": say_date,
    "list": say_list,
}


def say(piece: Piece, cell: str | None) -> str:
    """What a piece says: the bin of a number, a category, the part of a date, words."""
    said = SAYINGS[piece["form"]](piece, value_of(cell))
    return "missing" if said is None else said


def write_piece(piece: Piece, cell: str | None) -> str:
    """A piece of a row's text: the words around what it says."""
    value = say(piece, cell)
    if value == "missing" and piece["skipped"] is not None:
        return str(piece["skipped"])
    if piece["token"] is not None and value in piece["token"]["values"]:
        return f"{piece['token']['before']}{value}{piece['token']['after']}"
    unit = ""
    if piece["unit"] is not None and value != "missing":
        unit = piece["unit"][0 if value == "1" else 1]
    return f"{piece['before']}{value}{piece['between']}{unit}{piece['after']}"


# ---- columns that are computed of a row's other cells ----


def extract_part(column: dict[str, Any], row: Row) -> str | None:
    """The part of a code that regular expressions find, one after the other."""
    part = value_of(row[column["sources"][0]])
    for pattern in column["patterns"]:
        found = None if part is None else re.search(pattern, part)
        part = found[1] if found else None
    if part is not None and column["fold"] == "code":
        part = re.sub(r"[\W_]", "", part).upper()
    elif part is not None and column["fold"] == "lower":
        part = part.lower()
    return part or None


def derive_part(column: dict[str, Any], row: Row) -> str | None:
    """That part, or the word for a cell without it."""
    part = extract_part(column, row)
    if part is not None:
        return f"{part}{column['end']}"
    has_value = value_of(row[column["sources"][0]]) is not None
    return str(column["absent"]) if column["absent"] and has_value else None


def derive_number(column: dict[str, Any], row: Row) -> str | None:
    """A sum, difference or ratio of other cells, or the days between two."""
    kind, pairs = column["kind"], list(zip(column["sources"], column["forms"], strict=True))
    if kind == "days":
        texts = [(value_of(row[name]), form or "%Y-%m-%d") for name, form in pairs]
        later, earlier = (None if text is None else read_date(text, form) for text, form in texts)
        return None if later is None or earlier is None else str((later - earlier).days)
    numbers = [
        read_number(None if (cell := row[name]) is None else cell.strip(), form)
        for name, form in pairs
    ]
    if None in numbers:
        return None
    first, *rest = [float(number) for number in numbers if number is not None]
    if kind == "ratio" and rest[0] == 0:
        return None
    for number in rest:
        first = {"sum": first + number, "difference": first - number}.get(
            kind, first / (number or 1)
        )
    return spell_whole(round_figures(first, 12))


def derive(column: dict[str, Any], row: Row) -> str | None:
    """The cell of a derived column."""
    if column["kind"] == "part":
        return derive_part(column, row)
    if column["kind"] == "items":
        text = value_of(row[column["sources"][0]])
        return None if text is None else str(len(re.findall(column["patterns"][0], text)) + 1)
    if column["kind"] == "group size":
        key = extract_part(column, row)
        return None if key is None else str(max(column["groups"].get(key, 0) + 1, 1))
    return derive_number(column, row)
