"""read_expression: a column derived by SQL, from words and functions that are known to take little time and memory."""

import re
from itertools import pairwise

import polars as pl

MAX_LETTERS = 2000  # of an expression
MAX_TOKENS = 400
MAX_DEPTH = 20  # of parentheses and CASE
MAX_LENGTH = 1000  # of what LPAD, RPAD and REPEAT make
MAX_CELL = 20_000  # letters of a derived cell
MAX_GROWTH = 256  # times longer, by all REPLACE of an expression
TOKEN = re.compile(
    r"""\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|[^\W\d]\w*|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|.""",
    re.S,
)
# Others begin texts, remarks or names that polars and `TOKEN` would end at different places, such as $$'$$.
SIGNS = frozenset("()+-*/%=<>!|&,.:^~@")
WORDS_BEFORE_TEXT = frozenset(["in", "as", "or", "by", "is"])  # of at most two letters
AFTER_PATTERN = frozenset(["", ")", ",", "and", "or", "xor", "then", "else", "when", "end", "is"])
# What polars' SQL knows and computes in time and memory of its arguments' size.
FUNCTIONS = frozenset(
    [
        "abs",
        "acos",
        "acosd",
        "asin",
        "asind",
        "atan",
        "atan2",
        "atan2d",
        "atand",
        "avg",
        "bit_length",
        "cast",
        "cbrt",
        "ceil",
        "ceiling",
        "char_length",
        "character_length",
        "coalesce",
        "concat",
        "concat_ws",
        "corr",
        "cos",
        "cosd",
        "cot",
        "cotd",
        "count",
        "covar_pop",
        "covar_samp",
        "date",
        "date_part",
        "date_trunc",
        "degrees",
        "dense_rank",
        "div",
        "ends_with",
        "exp",
        "extract",
        "first",
        "first_value",
        "floor",
        "greatest",
        "if",
        "ifnull",
        "initcap",
        "lag",
        "last",
        "last_value",
        "lead",
        "least",
        "left",
        "length",
        "ln",
        "log",
        "log10",
        "log1p",
        "log2",
        "lower",
        "lpad",
        "ltrim",
        "max",
        "median",
        "min",
        "mod",
        "normalize",
        "nullif",
        "octet_length",
        "pi",
        "position",
        "pow",
        "power",
        "quantile_cont",
        "quantile_disc",
        "radians",
        "rank",
        "regexp_like",
        "repeat",
        "replace",
        "reverse",
        "right",
        "round",
        "row_number",
        "rpad",
        "rtrim",
        "sign",
        "sin",
        "sind",
        "split_part",
        "sqrt",
        "starts_with",
        "stddev",
        "stdev",
        "std",
        "stddev_pop",
        "stddev_samp",
        "strftime",
        "strptime",
        "strpos",
        "substr",
        "substring",
        "sum",
        "tan",
        "tand",
        "timestamp",
        "trim",
        "trunc",
        "try_cast",
        "upper",
        "variance",
        "var",
        "var_pop",
        "var_samp",
    ]
)
# Words of the language that may stand before a parenthesis.
SYNTAX = frozenset(
    [
        "and",
        "as",
        "between",
        "by",
        "case",
        "decimal",
        "else",
        "end",
        "filter",
        "from",
        "ilike",
        "in",
        "interval",
        "is",
        "like",
        "not",
        "numeric",
        "or",
        "order",
        "over",
        "partition",
        "regexp",
        "rlike",
        "then",
        "varchar",
        "char",
        "when",
    ]
)
MAKE_LENGTH = ("lpad", "rpad", "repeat")
DECIMALS = ("decimal", "numeric", "dec")
MAX_DIGITS = 38  # of a decimal
# polars panics, besides raising errors of its own and Python's.
SQL_ERRORS = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)


def read_expression(sql: str) -> pl.Expr:
    """A SQL expression over the columns of a table.

    Raises:
        ValueError: it is no SQL, too long, or calls what is not in `FUNCTIONS`.
    """
    try:
        _check(sql)
        return pl.sql_expr(sql)
    except SQL_ERRORS as error:
        raise ValueError(f"{sql[:80]!r} cannot be computed: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _check(sql: str) -> None:
    if not isinstance(sql, str) or len(sql) > MAX_LETTERS:
        raise ValueError(f"expected SQL of at most {MAX_LETTERS:,} letters")
    spaced = TOKEN.findall(sql)
    _check_signs(spaced)
    words = [token.lower() for token in spaced if not token.isspace()]
    if len(words) > MAX_TOKENS:
        raise ValueError(f"{len(words)} words and signs, expected at most {MAX_TOKENS}")
    depth, growth = 0, 1.0
    for number, word in enumerate(words):
        depth += (word in ("(", "case")) - (word in (")", "end"))
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        if word == "(" and number:
            growth *= _check_call(words, number)
        elif word in ("rlike", "regexp", "~"):
            _check_pattern(words, number)
    if growth > MAX_GROWTH:
        raise ValueError(
            f"REPLACE could make a cell {growth:,.0f} times longer, expected at most {MAX_GROWTH} times"
        )
    wrong = {"select", "columns", "--", ";"} & {*words}
    if wrong or "--" in sql or "/*" in sql:
        raise ValueError(
            "expected one expression over the columns of a row, without queries and remarks"
        )


def _check_signs(spaced: list[str]) -> None:
    """Refuse what polars may divide otherwise than `TOKEN`."""
    for before, token in pairwise(["", *spaced]):
        is_text = token[0] in "'\"`" and len(token) > 1
        is_word = token[0].isalnum() or token[0] == "_"
        if not (is_text or is_word or token.isspace() or token in SIGNS):
            raise ValueError(f"the sign {token!r} has no use in a derived column")
        if before + token == "->":
            raise ValueError("the sign '->' has no use in a derived column")
        is_prefix = before == "&" or (len(before) <= 2 and before.isalpha())
        if is_text and is_prefix and before.lower() not in WORDS_BEFORE_TEXT:
            raise ValueError(f"expected a text in plain quotes, got {before + token[:20]!r}")


def _check_call(words: list[str], opening: int) -> float:
    """Refuse a call that may take much time or memory; gives how many times longer its result may be."""
    name = words[opening - 1]
    if name[0] in '"`':
        raise ValueError(f"the function {name} is written in quotes")
    if not re.fullmatch(r"[^\W\d]\w*", name) or (name in SYNTAX and name not in DECIMALS):
        return 1.0
    arguments = _arguments(words, opening)
    if name in DECIMALS:
        _check_digits(arguments)
        return 1.0
    if name not in FUNCTIONS:
        raise ValueError(
            f"function {name.upper()} is not among those that a derived column may call"
        )
    if name in ("least", "greatest") and arguments == [[]]:
        raise ValueError(f"{name.upper()} needs arguments")
    second = arguments[1] if len(arguments) > 1 else []
    if name in MAKE_LENGTH and not _is_number(second, MAX_LENGTH):
        raise ValueError(
            f"{name.upper()} needs a length that is a number of at most {MAX_LENGTH}, got {' '.join(second)[:40]!r}"
        )
    if name == "regexp_like" and not _is_text(second):
        raise ValueError("REGEXP_LIKE needs a pattern in quotes")
    return _growth(arguments) if name == "replace" else 1.0


def _growth(arguments: list[list[str]]) -> float:
    if len(arguments) != 3 or not all(map(_is_text, arguments[1:])):
        raise ValueError("REPLACE needs two texts in quotes: what is replaced, and by what")
    replaced, by = (len(text.encode()) - 2 for [text] in arguments[1:])
    return max(1.0, by / replaced if replaced else by + 1)


def _check_digits(arguments: list[list[str]]) -> None:
    if not all(_is_number(argument, MAX_DIGITS) for argument in arguments):
        raise ValueError(f"a decimal number has at most {MAX_DIGITS} digits")
    digits = [int(argument[0]) for argument in arguments]
    if digits[0] == 0 or digits[-1] > digits[0]:
        raise ValueError("a decimal number has at least one digit, and no more behind the point")


def _check_pattern(words: list[str], operator: int) -> None:
    """Refuse patterns that are not written down, of which each row could have one that takes long to compile."""
    place = operator + 1 + (words[operator] == "~" and words[operator + 1 : operator + 2] == ["*"])
    pattern, after = [*words[place : place + 2], "", ""][:2]
    if words[operator] == "~" and "~" in (pattern, words[operator - 1]):
        return  # LIKE, whose patterns are no regular expressions
    if not _is_text([pattern]) or after not in AFTER_PATTERN:
        raise ValueError(
            f"{words[operator].upper()} needs a pattern in quotes, and nothing beside it"
        )


def _is_text(words: list[str]) -> bool:
    return len(words) == 1 and words[0][:1] == "'"


def _is_number(words: list[str], largest: int) -> bool:
    return len(words) == 1 and words[0].isdecimal() and int(words[0]) <= largest


def _arguments(words: list[str], opening: int) -> list[list[str]]:
    """The words of each argument of a call, one without words where there are none."""
    depth, arguments = 0, [list[str]()]
    for word in words[opening + 1 :]:
        if word == ")" and depth == 0:
            break
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(word)
    return arguments
