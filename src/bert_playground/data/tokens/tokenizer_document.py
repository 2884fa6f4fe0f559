"""check_tokenizer: what a tokenizer.json may ask for, before the tokenizers library reads it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bert_playground.documents import AGAIN, Document, check, check_depth

MAX_BYTES = 256 * 2**20  # vocabularies of a million words take 60 MB
MAX_ENTRIES = 2**24
MAX_GROWTH = (
    32  # how many times longer a text may become; published ones replace a letter by one other
)
MAX_INSERTED = 64  # letters that are put before a text, and tokens around it
MAX_WORD = (
    1000  # letters of a word that WordPiece looks for entries in; time grows with their square
)


class AddedDocument(Document):
    """An entry that was added to the vocabulary."""

    id: int
    content: str


class TokenizerDocument(Document):
    """tokenizer.json, as far as it is bounded here; what else is in it the library checks."""

    added_tokens: list[AddedDocument] | None = None
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None
    post_processor: dict[str, Any] | None = None
    decoder: dict[str, Any] | None = None


def check_tokenizer(path: Path) -> None:
    """Refuse a tokenizer.json that makes texts many times longer, or takes memory or time without measure.

    Raises:
        ValueError: it does, or is no JSON object; the message has the part.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, expected at most {MAX_BYTES:,}; {AGAIN}")
    try:
        values = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deep; {AGAIN}") from error
    except ValueError as error:
        raise ValueError(f"{path} is no tokenizer: not valid JSON ({error}); {AGAIN}") from error
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise ValueError(f"{path} is no tokenizer: it has no model; {AGAIN}")
    model = values["model"]
    faults = [*_faults_of_vocabulary(model), *_faults_of_steps(values)]
    if faults:
        raise ValueError(f"{path}: {'; '.join(faults)}; {AGAIN}")
    long = ("vocab", "merges")  # thousands of entries, of which the library reads more than ids
    outline = {key: value for key, value in values.items() if key != "model"}
    outline["model"] = {key: value for key, value in model.items() if key not in long}
    check_depth(outline, path)
    check(TokenizerDocument, outline, path)


def _faults_of_vocabulary(model: Mapping[str, Any]) -> Iterator[str]:
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        wrong = [
            name
            for name, number in vocabulary.items()
            if not isinstance(number, int) or not 0 <= number < MAX_ENTRIES
        ]
        if wrong:
            yield f"entry {wrong[0]!r:.60} has the id {vocabulary[wrong[0]]!r:.40}, expected 0 to {MAX_ENTRIES - 1:,}"
    if not vocabulary:
        yield "its vocabulary is empty"
    longest = model.get("max_input_chars_per_word")
    if longest is not None and not (isinstance(longest, int) and 1 <= longest <= MAX_WORD):
        yield f"max_input_chars_per_word is {longest!r:.40}, expected 1 to {MAX_WORD}"


def _faults_of_steps(values: Mapping[str, Any]) -> Iterator[str]:
    growth = 1
    for step in _steps(values.get("normalizer")):
        if step.get("type") == "Replace":
            growth *= max(1, len(str(step.get("content"))) // _letters_of(step.get("pattern")))
        if len(str(step.get("prepend", ""))) > MAX_INSERTED:
            yield f"its normalizer puts more than {MAX_INSERTED} letters before a text"
    if growth > MAX_GROWTH:
        yield f"its normalizer makes a text {growth:,} times longer, expected at most {MAX_GROWTH}"
    for step in _steps(values.get("post_processor")):
        for form in ("single", "pair"):
            pieces = step.get(form)
            if isinstance(pieces, list) and len(pieces) > MAX_INSERTED:
                yield f"its post_processor puts {len(pieces):,} tokens around a text, expected at most {MAX_INSERTED}"
        specials = step.get("special_tokens")
        named = specials.values() if isinstance(specials, dict) else ()
        if any(
            len(each.get("ids") or ()) > MAX_INSERTED for each in named if isinstance(each, dict)
        ):
            yield f"a special token of its post_processor stands for more than {MAX_INSERTED}"


def _letters_of(pattern: Any) -> int:
    """Of a string as many as it has; a regular expression may fit a single letter."""
    text = pattern.get("String") if isinstance(pattern, dict) else None
    return max(1, len(text)) if isinstance(text, str) else 1


def _steps(part: Any) -> Iterator[Mapping[str, Any]]:
    """A step and all steps inside it."""
    if isinstance(part, dict):
        yield part
        for key in ("normalizers", "pretokenizers", "processors"):
            inner = part.get(key)
            for each in inner if isinstance(inner, list) else ():
                yield from _steps(each)
