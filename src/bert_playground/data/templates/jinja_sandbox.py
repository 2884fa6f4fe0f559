"""BoundedEnvironment: Jinja for templates that strangers wrote: no attribute leads out, and time, loops and texts are bounded."""

import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from itertools import chain, islice
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace

MAX_SOURCE = 50_000  # letters of a template
MAX_TEXT = 20_000  # letters of a value, and of the text of a row
MAX_ITEMS = 10_000  # of a list
MAX_HELD = 50_000  # of a list, with those of the lists in it
MAX_LETTERS = 10 * MAX_TEXT  # of all texts in a list
MAX_DEPTH = 20  # of lists in lists
MAX_STEPS = 20_000  # turns of loops and calls, for each row
MAX_SECONDS = 2.0  # for each row
MAX_BITS = 1024  # of a whole number
MAX_NUMBER = 1000  # that a filter or method is given, such as a width
# They make texts of their own, read an attribute by its name, or take time that grows faster than the text.
LEFT_OUT = ("attr", "urlize", "pprint", "random")
GLOBALS_LEFT_OUT = ("lipsum",)
REFUSED = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
HOLDERS = (list, tuple, dict, set, frozenset, Namespace)
OWNERS = (str, bytes, list, tuple, dict, set, frozenset, int, float)
WIDTHS = re.compile(r"[0-9]{4,}|\*|\{[^{}]*\{")  # in a format: wide, or as wide as a value says
_spent: ContextVar["Spent | None"] = ContextVar("spent", default=None)


class Spent:
    """What the text of one row has cost so far."""

    def __init__(self) -> None:
        self.steps, self.end = 0, time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        """One turn or call more.

        Raises:
            SecurityError: the row has had its share.
        """
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise SecurityError(f"more than {MAX_STEPS:,} turns of loops and calls for one row")
        if time.monotonic() > self.end:
            raise SecurityError(f"more than {MAX_SECONDS:g} seconds for one row")


def step() -> None:
    """Count one turn or call of the row that is rendered."""
    spent = _spent.get()
    if spent is not None:
        spent.step()


def bounded(value: Any) -> Any:
    """The value, unless it is larger than a row's text may be.

    Raises:
        SecurityError: it is.
    """
    if isinstance(value, str | bytes) and len(value) > MAX_TEXT:
        raise SecurityError(f"a text of {len(value):,} letters, expected at most {MAX_TEXT:,}")
    if isinstance(value, HOLDERS):
        _check_held(value)
    if isinstance(value, int):
        _check_bits(value.bit_length())
    return value


def _check_held(value: Any) -> None:
    """Refuse what is large when written out, though lists in it may be one list many times."""
    items = letters = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = chain.from_iterable(_list_items(each) for each in level)
        level = [*islice(inner, MAX_HELD + 1)]
        items += len(level)
        letters += sum(len(each) for each in level if isinstance(each, str | bytes))
        if items > MAX_HELD or letters > MAX_LETTERS:
            raise SecurityError(
                f"a list of more than {MAX_HELD:,} items or {MAX_LETTERS:,} letters, with those of the lists in it"
            )
        level = [each for each in level if isinstance(each, HOLDERS)]
        if not level:
            return
    raise SecurityError(f"lists nested more than {MAX_DEPTH} deep")


def _list_items(value: Any) -> Iterable[Any]:
    if isinstance(value, Namespace):
        value = value._Namespace__attrs
    if len(value) > MAX_ITEMS:
        raise SecurityError(f"a list of {len(value):,} items, expected at most {MAX_ITEMS:,}")
    return chain(value.keys(), value.values()) if isinstance(value, dict) else value


def _check_bits(number: int) -> None:
    if number > MAX_BITS:
        raise SecurityError("a number of more than 300 digits")


def _check_repeated(length: int) -> None:
    if length > MAX_ITEMS:
        raise SecurityError(f"a text repeated to more than {MAX_ITEMS:,} letters")


def count_turns(values: Iterable[Any]) -> Iterator[Any]:
    """The same values, each a step."""
    for value in values:
        step()
        yield value


def join_texts(*values: Any) -> str:
    """What `~` gives: all values as one text."""
    texts = [str(bounded(value)) for value in values]
    if sum(map(len, texts)) > MAX_TEXT:
        raise SecurityError(f"a text of more than {MAX_TEXT:,} letters")
    return "".join(texts)


def _check_format(form: Any) -> None:
    if isinstance(form, str) and WIDTHS.search(form):
        raise SecurityError("a format that is wider than 999 letters, or as wide as a value says")


def _check_arguments(name: str, first: Any, arguments: tuple[Any, ...], options: Any) -> None:
    """Refuse calls whose result is larger than what they are given by a large factor."""
    step()
    given = (*arguments, *options.values())
    bounded((first, *given))
    for value in (first, *given):
        bounded(value)
    if any(isinstance(value, int) and abs(value) > MAX_NUMBER for value in given):
        raise SecurityError(f"{name} with a number beyond {MAX_NUMBER}")
    longest = max((len(value) for value in given if isinstance(value, str)), default=0)
    if name in ("replace", "join", "indent", "translate"):
        size = len(first) if isinstance(first, str | list | tuple | dict) else 1
        if longest * size > 50 * MAX_TEXT:
            raise SecurityError(f"{name} would make a text of more than {MAX_TEXT:,} letters")
    if name in ("format", "format_map", "%"):
        _check_format(first)


def _bound_filter(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    passes = getattr(apply, "jinja_pass_arg", None)

    @wraps(apply)  # takes over what tells Jinja to pass environment or context
    def call(*arguments: Any, **options: Any) -> Any:
        skipped = 0 if passes is None else 1  # the environment, or the context
        value, *rest = arguments[skipped:]
        if not isinstance(value, (*OWNERS, type(None))):
            value = [*count_turns(value)] if isinstance(value, Iterable) else value
        _check_arguments(name, value, tuple(rest), options)
        result = apply(*arguments[:skipped], value, *rest, **options)
        if isinstance(result, Iterator):
            return count_turns(result)
        return bounded(result)

    return call


class BoundedEnvironment(SandboxedEnvironment):
    """Jinja's sandbox, whose every loop, call, operator and filter is counted and measured; see the limits above."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self) -> None:
        # What the optimizer computes ahead is not measured: 10**10**10 would be computed while it is compiled.
        super().__init__(
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=bounded,
        )
        kept = {name: each for name, each in self.filters.items() if name not in LEFT_OUT}
        self.filters = {name: _bound_filter(name, each) for name, each in kept.items()}
        self.filters |= {"__turns": count_turns, "__join": join_texts, "__bounded": bounded}
        self.globals = {n: v for n, v in self.globals.items() if n not in GLOBALS_LEFT_OUT}

    @staticmethod
    def concat(texts: Iterable[str]) -> str:
        """The text of a row, a macro or a block."""
        pieces, size = [], 0
        for text in texts:
            pieces.append(text)
            size += len(text)
            if size > MAX_TEXT:
                raise SecurityError(f"a text of more than {MAX_TEXT:,} letters")
        return "".join(pieces)

    def parse_bounded(self, source: str) -> nodes.Template:
        """A template whose loops and joins are counted.

        Raises:
            jinja2.TemplateSyntaxError: it is no Jinja, or asks for what is refused.
        """
        if len(source) > MAX_SOURCE:
            raise jinja2.TemplateSyntaxError(f"longer than {MAX_SOURCE:,} letters", 1)
        tree = self.parse(source)
        if refused := next(tree.find_all(REFUSED), None):
            raise jinja2.TemplateSyntaxError("other templates cannot be read", refused.lineno)
        for loop in tree.find_all(nodes.For):
            loop.iter = _call_filter("__turns", loop.iter, [])
        measured: nodes.Template = _measure_values(tree)
        return measured

    def compile_bounded(self, source: str) -> jinja2.Template:
        """A template ready to be rendered by `render_bounded`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of the Python that Jinja makes
            code = self.compile(self.parse_bounded(source))
        made: jinja2.Template = self.template_class.from_code(self, code, self.make_globals(None))
        return made

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`, if the result cannot be too large."""
        step()
        left, right = bounded(left), bounded(right)
        if operator == "%":
            _check_format(left)
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * abs(right))
        for one, times in ((left, right), (right, left)):
            if operator == "*" and isinstance(one, OWNERS[:4]) and isinstance(times, int):
                _check_repeated(len(one) * times)
        return bounded(super().call_binop(context, operator, left, right))

    def call(self, __context: Any, __obj: Any, *arguments: Any, **options: Any) -> Any:
        """Call a method, macro or function of a template, if its result cannot be too large."""
        # The sandbox wraps `str.format`.
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        name = getattr(__obj, "__name__", "a call")
        if isinstance(owner, OWNERS):
            _check_arguments(name, owner, arguments, options)
        else:
            step()
            bounded((*arguments, *options.values()))  # which a macro may keep as one list
        result = super().call(__context, __obj, *arguments, **options)
        bounded(owner)  # a list that was appended to
        return bounded(result)


def render_bounded(template: jinja2.Template, row: Mapping[str, Any]) -> str:
    """The text of one row, within its limits.

    Raises:
        SecurityError: it takes more than a row may.
    """
    token = _spent.set(Spent())
    try:
        return str(template.render(row))
    finally:
        _spent.reset(token)


def _call_filter(name: str, value: nodes.Node, arguments: list[nodes.Expr]) -> nodes.Filter:
    return nodes.Filter(value, name, arguments, [], None, None, lineno=value.lineno)


def _measure_values(node: Any) -> Any:
    """The same tree with each `a ~ b` as a call of `join_texts`, and each list that is written down measured."""
    for name, value in list(node.iter_fields()):
        if isinstance(value, list):
            new = [
                _measure_values(each) if isinstance(each, nodes.Node) else each for each in value
            ]
            setattr(node, name, new)
        elif isinstance(value, nodes.Node):
            setattr(node, name, _measure_values(value))
    if isinstance(node, nodes.Concat):
        first, *rest = node.nodes
        changed = _call_filter("__join", first, rest)
    elif isinstance(node, nodes.List | nodes.Dict) or (
        isinstance(node, nodes.Tuple) and node.ctx == "load"
    ):
        changed = _call_filter("__bounded", node, [])
    else:
        return node
    changed.environment = node.environment
    return changed
