"""fit_code_parts: the grammar of a column of codes, learned from training rows: separators, letters and digits, widths."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from bert_playground.data.columns.derived_columns import CONTINUES, DerivedColumn
from bert_playground.data.columns.kinds import Kind, clean

MAX_ROWS = 10_000  # that are looked at
MAX_PARTS = 6  # of one column
MAX_DEPTH = 2  # separators within the parts of separators
MIN_ROWS = 3  # that share a value, for it to repeat
MIN_KNOWN = 0.02  # of the rows have a part that is worth a column
MOSTLY = 0.95
COMMON = 0.6  # of the cells have a separator, and of these as many the same number of it
MAX_SHAPES = 5  # that most cells of a column of codes have
MIN_WIDTH = 5  # of digits that begin with a code
MAX_DIGITS = 15  # longer ones are no exact number
FEW_VALUES = 20  # a category of so few says it all by itself
SEPARATORS = ("/", "|", "\\", "@", "#", ":", "_", ";", ",", "-", ".", " ")
LIST_SEPARATORS = (r"\s*,\s*", r"\s*;\s*", r"\s*\|\s*", r"\s*\+\s*", r"\s+")
CODE = r"[0-9/|\\@#:_]|[\w)]-[\w(]|\w\.\w"  # what codes have and words lack
SLUG = r"\p{L}{3,}[-_+]\p{L}{2,}[-_+]\p{L}{3,}"  # a title within an address
# Forms that everybody writes alike: what all of a column's cells match, and the parts of such a cell.
FORMS = {
    "e-mail": (
        r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
        {"domain": r"@([^@\s]+)$", "ending": r"\.([A-Za-z]{2,})$", "name": r"^([^@\s]+)@"},
    ),
    "URL": (
        r"^(?:[A-Za-z]+://|www\.)[^\s/]+",
        {
            "host": r"^(?:[A-Za-z]+://)?(?:www\.)?([^/:?#\s]+)",
            "path 1": r"^(?:[A-Za-z]+://)?[^/?#]+/([^/?#]+)",
            "words": rf"/([^/?#]*{SLUG}[^/?#]*?)(?:\.[A-Za-z0-9]{{1,5}})?/?(?:[?#]|$)",
            "path 2": r"^(?:[A-Za-z]+://)?[^/?#]+/[^/?#]+/([^/?#]+)",
            "path 3": r"^(?:[A-Za-z]+://)?(?:[^/?#]+/){3}([^/?#]+)",
            "ending": r"^(?:[A-Za-z]+://)?[^/:?#\s]+\.([A-Za-z]{2,})(?:[/:?#]|$)",
            "extension": r"//.*/[^/?#]*\.([A-Za-z0-9]{1,5})(?:[?#]|$)",
            "query": r"\?([^#\s]+)",
        },
    ),
    "IP address": (
        r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$",
        {f"net {n + 1}": rf"^((?:[0-9]+\.){{{n}}}[0-9]+)" for n in range(3)},
    ),
    "file name": (
        r"^.*[\w\-)]\.[A-Za-z][A-Za-z0-9]{1,4}$",
        {
            "extension": r"\.([A-Za-z0-9]+)$",
            "folder": r"^[/\\]*([^/\\]+)[/\\]",
            "folder 2": r"^[/\\]*[^/\\]+[/\\]+([^/\\]+)[/\\]",
            "folder 3": r"^[/\\]*(?:[^/\\]+[/\\]+){2}([^/\\]+)[/\\]",
            "stem": r"([^/\\]*)\.[A-Za-z0-9]+$",
        },
    ),
}
LOWERED = ("domain", "ending", "host", "extension")


@dataclass(frozen=True)
class Part:
    """A piece of each cell.

    Attributes:
        name: "letters", "part 2 number", …; "" of the whole cell.
        values: [R] the pieces of the rows looked at; null where a cell has none.
        patterns: regular expressions that extract it, in turn.
        fold: see `DerivedColumn`.
        end: see `DerivedColumn`.
    """

    name: str
    values: pl.Series
    patterns: tuple[str, ...] = ()
    fold: str = ""
    end: str = ""

    def extract(self, name: str, pattern: str, *, fold: str = "", end: str = "") -> "Part":
        """A piece of this piece."""
        values = self.values.str.extract(pattern, 1)
        if fold == "code":
            values = values.str.replace_all(r"[^\p{L}\p{N}]", "").str.to_uppercase()
        elif fold == "lower":
            values = values.str.to_lowercase()
        values = values.set((values == "").fill_null(False), None)
        is_nested = bool(re.search(r"part \d+$", self.name)) and name.startswith("part ")
        named = f"{self.name}.{name[5:]}" if is_nested else f"{self.name} {name}".strip()
        return Part(named, values, (*self.patterns, pattern), fold, end)


def fit_code_parts(column: pl.Series, kind: Kind) -> tuple[DerivedColumn, ...]:
    """The parts of a column's cells that vary and repeat, or are numbers; () where its cells have none.

    Cells that everybody writes alike (e-mail addresses, URLs, IP addresses, file names) have their known parts. Else the
    separator that most cells have equally often tells the parts, and within a part the change between letters and digits;
    without such a separator what stands before the last number, and that number. Items of one shape are a list: its
    length, and the parts of the first. Of digits of one width with zeros before them, alone or after letters, the first
    two and three are parts.

    Args:
        column: of the training rows, all cells as text.
        kind: of the column.
    """
    cells = clean(column).drop_nulls()
    cells = cells.gather_every(max(1, len(cells) // MAX_ROWS))
    if not _is_code(cells, kind):
        return ()
    kept: list[DerivedColumn] = []
    seen: list[pl.Series] = [cells] if kind.name == "category" else []
    for part in _find_parts(Part("", cells)):
        if len(kept) == MAX_PARTS:
            break
        is_telling = _repeats_words if part.name == "words" else _is_telling
        if not part.patterns or not is_telling(part.values):
            continue
        if any(_says_the_same(part.values, each) for each in seen):
            continue
        seen.append(part.values)
        kept.append(_as_column(column.name, part))
    count = _find_items(cells)
    if count is not None and kept:
        kept.append(DerivedColumn(f"{column.name} items", (column.name,), "items", (count,)))
    return tuple(kept)


def _as_column(name: str, part: Part) -> DerivedColumn:
    absent = "" if _are_digits(part.values.drop_nulls()) and not part.end else "none"
    return DerivedColumn(
        f"{name} {part.name}", (name,), "part", part.patterns, part.fold, absent, part.end
    )


def _is_code(cells: pl.Series, kind: Kind) -> bool:
    if len(cells) < 2 * MIN_ROWS or _are_hashes(cells):
        return False
    if kind.name == "number":
        return not kind.spelling and not kind.odd and _width_of_codes(cells) is not None
    if kind.name not in ("code", "words", "category") or kind.num_distinct <= FEW_VALUES:
        return False
    return kind.name == "code" or _share(cells, CODE) >= COMMON


def _are_hashes(cells: pl.Series) -> bool:
    """Whether letters and digits follow each other without any order, as in hashes and UUIDs."""
    if len(cells) < FEW_VALUES or _share(cells, "^[0-9A-Za-z+/=-]{6,}$") < MOSTLY:
        return False
    shapes = _shape(cells, r"\n").list.first()
    counts = shapes.value_counts(sort=True, name="rows")["rows"]
    return int(counts[:MAX_SHAPES].sum()) < COMMON * len(cells)


def _find_parts(whole: Part) -> Iterator[Part]:
    for form, parts in FORMS.values():
        if _share(whole.values, form) >= MOSTLY:
            for name, pattern in parts.items():
                fold = "lower" if name in LOWERED else ""
                end = CONTINUES if name.startswith("net") else ""
                part = whole.extract(name, pattern, fold=fold, end=end)
                if name in ("name", "stem"):
                    yield from _split(part, 1)
                else:
                    yield part
            return
    items = _find_items(whole.values)
    if items is not None:
        first = whole.extract("", rf"^(.*?)(?:{items}|$)")
        yield from _split(first, 1)
        return
    yield from _split(whole, 0)


def _split(part: Part, depth: int) -> Iterator[Part]:
    """The parts of a part, itself if it has none."""
    values = part.values.drop_nulls()
    if not len(values):
        return
    if _are_digits(values):
        yield from _split_digits(part)
        return
    if _share(values, r"^[\p{L} .,'&()-]+$") >= MOSTLY:
        yield part
        return
    separator = _find_separator(values) if depth < MAX_DEPTH else None
    if separator is not None:
        mark, count = separator
        for number in range(count + 1):
            pattern = rf"^(?:[^{mark}]*{mark}+){{{number}}}\s*([^{mark}]*)"
            yield from _split(part.extract(f"part {number + 1}", pattern), depth + 1)
        return
    yield from _split_runs(part)


def _split_digits(part: Part) -> Iterator[Part]:
    number = part if part.patterns else None
    if number is not None:
        named = part.name if part.name.endswith("number") else f"{part.name} number".strip()
        yield replace(part, name=named)
    yield from _first_digits(part)


def _first_digits(part: Part) -> Iterator[Part]:
    """The beginnings of digits that are no amounts."""
    width = _width_of_codes(part.values.drop_nulls())
    if width is not None:
        for digits in (2, 3):
            if digits < width:
                yield part.extract(f"first {digits}", rf"^([0-9]{{{digits}}})", end=CONTINUES)


def _split_runs(part: Part) -> Iterator[Part]:
    """Letters, digits, letters; or what stands before the last number, and that number."""
    values = part.values.drop_nulls()
    if _share(values, r"^\p{L}*[0-9]+\p{L}*$") >= MOSTLY:
        runs: tuple[tuple[str, str, str], ...] = (
            ("letters", r"^(\p{L}+)", ""),
            ("number", r"^\p{L}*([0-9]+)", ""),
            ("ending", r"[0-9](\p{L}+)$", ""),
        )
    else:
        runs = (("letters", r"^(\D.*?)[ .]*[0-9]*$", "code"), ("number", r"([0-9]+)\D*$", ""))
    for name, pattern, fold in runs:
        run = part.extract(name, pattern, fold=fold)
        yield run
        if name == "number":
            yield from _first_digits(run)


def _find_separator(values: pl.Series) -> tuple[str, int] | None:
    """The sign that most cells have, and how often the most of these have it."""
    best, found = 0.0, None
    for sign in SEPARATORS:
        mark = r"\s" if sign == " " else re.escape(sign)
        counts = values.str.count_matches(rf"{mark}+")
        has = counts.filter(counts > 0)
        if len(has) < COMMON * len(values):
            continue
        count = _most_frequent(has)
        share = float((has == count).sum()) / len(values)
        if share > best and share >= COMMON and count < MAX_PARTS:
            best, found = share, (mark, count)
    return found


def _find_items(cells: pl.Series) -> str | None:
    """What separates the items of cells that hold one or several of one shape: "C85 C87"; None: they hold no such."""
    for separator in LIST_SEPARATORS:
        several = cells.filter(cells.str.contains(rf"\S{separator}\S"))
        if len(several) < max(MIN_ROWS, MIN_KNOWN * len(cells)):
            continue
        shapes = _shape(several, separator)
        rest = cells.filter(~cells.str.contains(rf"\S{separator}\S"))
        is_code = shapes.list.first().str.contains("9")
        is_alike = is_code & (shapes.list.n_unique() == 1) & (shapes.list.len() > 1)
        single = _shape(rest, separator).list.first()
        common = shapes.filter(is_alike).list.first().unique()
        has_singles = not len(rest) or _mean(single.is_in(common.implode())) >= COMMON
        if _mean(is_alike) >= COMMON and has_singles:
            return separator
    return None


def _shape(cells: pl.Series, separator: str) -> pl.Series:
    """[R] lists of the shapes of a cell's items: "A9" of "C85"."""
    plain = cells.str.replace_all(separator, "\n").str.replace_all(r"\p{L}+", "A")
    return plain.str.replace_all("[0-9]+", "9").str.split("\n")


def _width_of_codes(values: pl.Series) -> int | None:
    """The width of digits that are no amounts: all of one, with zeros before some, or too long for one; None: they are."""
    if not _are_digits(values):
        return None
    widths = values.str.len_chars()
    width = _most_frequent(widths)
    if _mean(widths == width) < MOSTLY or width < MIN_WIDTH:
        return None
    return width if width >= 9 or values.str.starts_with("0").any() else None


def _are_digits(values: pl.Series) -> bool:
    return bool(len(values)) and _share(values, "^[0-9]+$") >= MOSTLY


def _share(values: pl.Series, pattern: str) -> float:
    return _mean(values.str.contains(pattern))


def _mean(is_so: pl.Series) -> float:
    return float(is_so.sum() or 0) / max(1, len(is_so))


def _most_frequent(counts: pl.Series) -> int:
    return int(np.bincount(counts.to_numpy()).argmax())


def _is_telling(values: pl.Series) -> bool:
    """Whether a part varies and repeats, or is a number."""
    known = values.drop_nulls()
    if len(known) < max(2 * MIN_ROWS, MIN_KNOWN * len(values)):
        return False
    counts = known.value_counts(name="rows")["rows"]
    varies = len(counts) > 1 or len(known) < MOSTLY * len(values)
    if not varies:
        return False
    if _are_digits(known) and known.str.len_chars().to_numpy().max() <= MAX_DIGITS:
        return True
    repeated = int(counts.filter(counts >= MIN_ROWS).sum())
    return repeated >= len(known) / 2


def _repeats_words(values: pl.Series) -> bool:
    """Whether some cells have words, and most of these words are those of other cells too."""
    known = values.drop_nulls()
    if len(known) < max(2 * MIN_ROWS, MIN_KNOWN * len(values)):
        return False
    words = known.str.to_lowercase().str.extract_all(r"\p{L}{3,}").list.unique().explode()
    counts = words.drop_nulls().value_counts(name="rows")["rows"]
    return int(counts.filter(counts >= MIN_ROWS).sum()) >= len(words) / 2


def _says_the_same(one: pl.Series, other: pl.Series) -> bool:
    """Whether each value of one goes with a single value of the other, and the other way round."""
    pairs = pl.DataFrame({"one": one, "other": other}).unique()
    return pairs.height == one.n_unique() == other.n_unique()


def describe_parts(parts: Sequence[DerivedColumn], column: str, example: str) -> str:
    """One line about the parts of a column: "Ticket: split into letters, number; 'A/5 21171' → A5, 21171"."""
    frame = pl.DataFrame({column: [example]}).select(part.cell() for part in parts)
    names = ", ".join(part.name.removeprefix(f"{column} ") for part in parts)
    shown = ", ".join(str(value) for value in frame.row(0) if value is not None)
    return f"{column}: split into {names}; {example!r} \N{RIGHTWARDS ARROW} {shown}"
