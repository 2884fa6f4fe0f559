"""make_jinja: Jinja templates of a row, mostly of the right form, by a seed."""

import random

from bert_playground.data.templates.jinja import ENVIRONMENT

VALUES = (
    "a", "b", "row", "row.a", "row['b']", "'x'", "''", "'é'", "'%s %d'", "'%9999d'", "'{0}{a}'", "'{:>99}'",
    "'{0.__class__}'", "'a,b'", "'%Y'", "0", "1", "-1", "2", "7", "999", "10000", "10**9", "0.5", "1e300", "true", "none",
    "[]", "[1, 'a']", "('a', 2)", "{}", "{'a': [1]}", "range(5)", "range(9999)", "dict(a=1)", "namespace(x=1)",
    "cycler('a', 'b')", "joiner('x')",
)  # fmt: skip
# Known inside some statements alone, or nowhere.
NAMES = (
    "x", "x", "x", "n", "ns.x", "m", "m()", "caller()", "loop", "loop.index", "self", "none_such", "lipsum", "range(10**9)",
)  # fmt: skip
OPERATORS = (
    "+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in",
)  # fmt: skip
FILTERS = (*sorted(ENVIRONMENT.filters), "attr", "urlize")
TESTS = tuple(sorted(filter(str.isidentifier, ENVIRONMENT.tests)))
REFUSED = ("include", "import", "extends", "do", "autoescape", "raw", "none_such")
METHODS = (
    "upper", "split", "replace", "format", "format_map", "join", "center", "ljust", "rjust", "zfill", "expandtabs", "encode", "translate",
    "partition", "splitlines", "count", "index", "items", "keys", "values", "get", "update", "pop", "append", "extend", "insert",
    "sort", "copy", "clear", "setdefault", "fromkeys", "maketrans", "bit_length", "to_bytes", "as_integer_ratio", "hex", "is_integer",
    "next", "reset", "current", "__class__", "__mro__", "__subclasses__", "__init__", "__globals__", "__getitem__", "mro", "changed",
    "cycle", "previtem", "nextitem", "length", "name", "arguments", "catch_kwargs", "gi_frame", "f_globals", "cr_frame",
)  # fmt: skip
KEYWORDS = (
    "attribute",
    "default",
    "reverse",
    "count",
    "start",
    "width",
    "sep",
    "d",
    "length",
    "first",
)


def make_jinja(rng: random.Random, depth: int = 3) -> str:
    """A template; one in eight with a piece cut out or said many times."""
    source = " ".join(_statement(rng, depth) for _ in range(rng.choice((1, 1, 2, 3))))
    if rng.random() < 0.125:
        place, end = sorted((rng.randrange(len(source)), rng.randrange(len(source))))
        source = source[:place] + source[place:end] * rng.choice((0, 2, 40)) + source[end:]
    return source


def _statement(rng: random.Random, depth: int) -> str:
    one = _expression(rng, depth)
    if depth == 0:
        return f"{{{{ {one} }}}}"
    if rng.random() < 0.02:
        return f"{{% {rng.choice(REFUSED)} {one} %}}"
    inner, two = _statement(rng, depth - 1), _expression(rng, depth - 1)
    return rng.choice(
        (
            f"{{{{ {one} }}}}",
            f"{{{{ {one} }}}}",
            f"{{% for x in {one} %}}{inner}{{% else %}}{{{{ {two} }}}}{{% endfor %}}",
            f"{{% for x in {one} if {two} %}}{inner}{{% endfor %}}",
            f"{{% for x in {one} recursive %}}{inner}{{{{ loop({two}) }}}}{{% endfor %}}",
            f"{{% for x, n in {one} %}}{inner}{{% endfor %}}",
            f"{{% if {one} %}}{inner}{{% elif {two} %}}y{{% else %}}{inner}{{% endif %}}",
            f"{{% set x = {one} %}}{inner}",
            f"{{% set x %}}{inner}{{% endset %}}{{{{ x ~ x ~ {two} }}}}",
            f"{{% set ns = namespace(x={one}) %}}{{% for n in range(60) %}}{{% set ns.x = ns.x ~ {two} %}}{{% endfor %}}{{{{ ns.x }}}}",
            f"{{% macro m(x={one}, n=1) %}}{inner}{{% endmacro %}}{{{{ m({two}) }}}}",
            f"{{% call m({one}) %}}{inner}{{% endcall %}}",
            f"{{% filter {rng.choice(FILTERS)} %}}{inner}{{% endfilter %}}",
            f"{{% with x = {one} %}}{inner}{{% endwith %}}",
            f"{{% block x %}}{inner}{{% endblock %}}{{{{ self.x() }}}}",
            f"{{# {one} #}}{inner}",
        )
    )


def _expression(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(VALUES if rng.random() < 0.9 else NAMES)
    one, two = _expression(rng, depth - 1), _expression(rng, depth - 1)
    given = rng.choice(
        (
            "",
            two,
            f"{two}, {rng.choice(VALUES)}",
            f"{rng.choice(KEYWORDS)}={two}",
            f"*{two}",
            f"**{two}",
        )
    )
    return rng.choice(
        (
            f"({one} {rng.choice(OPERATORS)} {two})",
            f"({one} {rng.choice(OPERATORS)} {two})",
            f"({one}) | {rng.choice(FILTERS)}",
            f"({one}) | {rng.choice(FILTERS)}({given})",
            f"({one}) | {rng.choice(FILTERS)}({given}) | {rng.choice(FILTERS)}",
            f"({one}).{rng.choice(METHODS)}",
            f"({one}).{rng.choice(METHODS)}({given})",
            f"({one})[{two}]",
            f"({one})[:{two}]",
            f"({one})({given})",
            f"({one} is {rng.choice(TESTS)}({two}))",
            f"({one} if {two} else {rng.choice(VALUES)})",
            f"[{one}, {two}]",
            f"({{{one}: {two}}})",
            f"(not {one})",
            f"-({one})",
        )
    )  # fmt: skip
