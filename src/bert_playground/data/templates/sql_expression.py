"""read_expression: a column derived by SQL, from words and functions that are known to take little time and memory."""

import re

import polars as pl

MAX_LETTERS = 2000  # of an expression
MAX_TOKENS = 400
MAX_DEPTH = 20  # of parentheses and CASE
MAX_LENGTH = 1000  # of what LPAD, RPAD and REPEAT make
MAX_CELL = 20_000  # letters of a derived cell
TOKEN = re.compile(
    r"""\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|[A-Za-z_]\w*|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|.""",
    re.S,
)
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


def read_expression(sql: str) -> pl.Expr:
    """A SQL expression over the columns of a table.

    Raises:
        ValueError: it is no SQL, too long, or calls what is not in `FUNCTIONS`.
    """
    try:
        _check(sql)
        return pl.sql_expr(sql)
    except (ValueError, pl.exceptions.PolarsError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"{sql[:80]!r} cannot be computed: {first_line}") from error


def _check(sql: str) -> None:
    if not isinstance(sql, str) or len(sql) > MAX_LETTERS:
        raise ValueError(f"expected SQL of at most {MAX_LETTERS:,} letters")
    tokens = [token for token in TOKEN.findall(sql) if not token.isspace()]
    words = [token.lower() for token in tokens]
    if len(words) > MAX_TOKENS:
        raise ValueError(f"{len(words)} words and signs, expected at most {MAX_TOKENS}")
    depth = 0
    for number, word in enumerate(words):
        depth += (word in ("(", "case")) - (word in (")", "end"))
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        if word == "(" and number:
            _check_call(words, number)
    wrong = sorted({"select", "columns", "--", ";"} & {*words})
    if wrong or "--" in sql or "/*" in sql:
        raise ValueError(
            "expected one expression over the columns of a row, without queries and remarks"
        )


def _check_call(words: list[str], opening: int) -> None:
    name = words[opening - 1]
    if not re.fullmatch(r"[a-z_]\w*", name) or name in SYNTAX:
        return
    if name not in FUNCTIONS:
        raise ValueError(
            f"function {name.upper()} is not among those that a derived column may call"
        )
    if name in MAKE_LENGTH:
        length = _second_argument(words, opening)
        if len(length) != 1 or not length[0].isdecimal() or int(length[0]) > MAX_LENGTH:
            raise ValueError(
                f"{name.upper()} needs a length that is a number of at most {MAX_LENGTH}, got {' '.join(length)[:40]!r}"
            )


def _second_argument(words: list[str], opening: int) -> list[str]:
    depth, arguments = 0, [list[str]()]
    for word in words[opening + 1 :]:
        if word == ")" and depth == 0:
            break
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(word)
    return arguments[1] if len(arguments) > 1 else []
