"""make_sql: SQL expressions as derived columns have them, mostly of the right form, by a seed."""

import random
import re

from bert_playground.data.templates.sql_expression import FUNCTIONS

TEXTS = (
    "", "x", "é", "1", "-2.5", "2020-01-31", "2020-01-31 10:30", "10:30", "%Y-%m-%d", "%Q", "%", "_%", "(", "(x*)*",
    r"\d+", "[a-", "1 day", "9999999 years", "-1 mo", "year", "x" * 300,
)  # fmt: skip
NUMBERS = (
    "0", "1", "2", "7", "-1", "0.5", "-1.25", "1e10", "1e400", "255", "1000", "100000", "4000000000",
    "9223372036854775807", "99999999999999999999999999", "NULL",
)  # fmt: skip
TYPES = (
    "INT", "TINYINT", "SMALLINT", "BIGINT", "HUGEINT", "INT128", "UINTEGER", "UTINYINT", "FLOAT", "REAL", "DOUBLE",
    "DECIMAL", "DECIMAL(10,2)", "DECIMAL(38,38)", "DECIMAL(99,9)", "NUMERIC(5)", "VARCHAR", "VARCHAR(3)", "TEXT", "CHAR",
    "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP(3)", "DATETIME", "INTERVAL", "BYTEA", "BLOB", "UUID", "INT[]",
)  # fmt: skip
PARTS = (
    "year", "quarter", "month", "week", "day", "dow", "doy", "isoyear", "hour", "minute", "second", "ms", "us", "ns",
    "epoch", "century", "decade", "millennium", "time", "timezone", "x",
)  # fmt: skip
OPERATORS = (
    "+", "-", "*", "/", "//", "%", "||", "=", "<>", "<", ">=", "<=>", "AND", "OR", "XOR", "LIKE", "NOT LIKE", "ILIKE",
    "RLIKE", "REGEXP", "~", "!~*", "~~", "^@", "&", "|", "#", "<<", ">>", "->", "->>", "IS DISTINCT FROM",
)  # fmt: skip
# What is called with words of its own between the arguments; {0}, {1} are expressions.
FORMS = (
    "CASE WHEN {0} THEN {1} END", "CASE {0} WHEN {1} THEN {2} ELSE {0} END", "{0} BETWEEN {1} AND {2}", "{0} IN ({1}, {2})",
    "{0} NOT IN ({1})", "{0} IS NULL", "{0} IS NOT TRUE", "NOT {0}", "-{0}", "~{0}", "({0})", "CAST({0} AS {type})", "TRY_CAST({0} AS {type})",
    "{0}::{type}", "EXTRACT({part} FROM {0})", "DATE_PART('{part}', {0})", "DATE_TRUNC('{part}', {0})", "POSITION({0} IN {1})",
    "SUBSTRING({0} FROM {number} FOR {number})", "TRIM(BOTH {text} FROM {0})", "FLOOR({0})", "CEIL({0})",
    "LPAD({0}, {number}, {text})", "RPAD({0}, {number}, {text})", "REPLACE({0}, {text}, {text})", "REPLACE({0}, {text}, {1})", "ROUND({0}, {number})",
    "SPLIT_PART({0}, {text}, {number})", "STRPTIME({0}, {text})", "STRFTIME({0}, {text})", "REGEXP_LIKE({0}, {text})", "REGEXP_LIKE({0}, {1})",
    "LEFT({0}, {number})", "RIGHT({0}, {number})", "SUBSTR({0}, {number}, {number})", "NORMALIZE({0}, NFKD)", "{0}[{number}]",
    "INTERVAL {text}", "DATE {text}", "TIMESTAMP {text}", "SUM({0}) OVER (PARTITION BY {1})", "COUNT(*)", "COUNT(DISTINCT {0})",
    "LAG({0}, {number}) OVER (ORDER BY {1})", "LEAD({0}) OVER (ORDER BY {1} DESC)", "ROW_NUMBER() OVER (PARTITION BY {0} ORDER BY {1})",
    "RANK() OVER (ORDER BY {0})", "FIRST_VALUE({0}) OVER (ORDER BY {1})", "MAX({0}) FILTER (WHERE {1})", "QUANTILE_CONT({0}, {number})",
    "({0}, {1})", "ARRAY[{0}, {1}]", "{{'a': {0}}}", "(SELECT {0})", "{0} COLLATE x", "{0} AT TIME ZONE {text}",
)  # fmt: skip
NAMES = tuple(sorted(FUNCTIONS))


def make_sql(rng: random.Random, columns: tuple[str, ...], depth: int = 4) -> str:
    """An expression over these columns; one in eight with a piece cut out or said twice."""
    sql = _expression(rng, columns, depth)
    if rng.random() < 0.125 and len(sql) > 3:
        pieces = re.findall(r"\w+|\s+|.", sql)
        place = rng.randrange(len(pieces))
        pieces[place : place + 1] = pieces[place : place + 1] * rng.choice((0, 2, 30))
        sql = "".join(pieces)
    return sql


def _expression(rng: random.Random, columns: tuple[str, ...], depth: int) -> str:
    if depth == 0 or rng.random() < 0.15:
        return rng.choice((_column, _column, _number, _text))(rng, columns)
    one, two, three = (_expression(rng, columns, depth - 1) for _ in range(3))
    kind = rng.random()
    if kind < 0.3:
        name = rng.choice(NAMES).upper()
        return f"{name}({', '.join((one, two, three)[: rng.choice((0, 1, 1, 1, 2, 2, 3))])})"
    if kind < 0.5:
        return f"({one} {rng.choice(OPERATORS)} {two})"
    form = rng.choice(FORMS)
    for word, draw in (("{number}", _number), ("{text}", _text)):
        while word in form:
            form = form.replace(word, draw(rng, columns).replace("{", "(").replace("}", ")"), 1)
    return form.format(one, two, three, type=rng.choice(TYPES), part=rng.choice(PARTS))


def _column(rng: random.Random, columns: tuple[str, ...]) -> str:
    return rng.choice(columns)


def _number(rng: random.Random, columns: tuple[str, ...]) -> str:
    return rng.choice(NUMBERS)


def _text(rng: random.Random, columns: tuple[str, ...]) -> str:
    return f"'{rng.choice(TEXTS)}'"
