"""spell_for_terminal: letters that the encoding of a terminal lacks are spelled otherwise, so that no message fails."""

import codecs
import sys
import unicodedata
from io import TextIOWrapper

_NAME = "bert_playground.spell"
# Signs that messages and tables use, in letters that every terminal has.
SPELLINGS = {
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{MIDDLE DOT}": "*",
    "\N{BULLET}": "*",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{FULL BLOCK}": "#",
    "\N{EURO SIGN}": "EUR",
    "\N{LATIN SMALL LETTER SHARP S}": "ss",
}


def spell_for_terminal() -> None:
    """Let stdout and stderr spell what their encoding lacks, so that no message ends in a UnicodeEncodeError."""
    codecs.register_error(_NAME, _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not _is_unicode(stream):
            stream.reconfigure(errors=_NAME)


def _is_unicode(stream: TextIOWrapper) -> bool:
    return stream.encoding.lower().replace("-", "").startswith("utf")


def _spell(error: UnicodeError) -> tuple[str, int]:
    """The letters from `error.start` on that the encoding has: a spelling, the letter without its accents, else "?"."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(map(_spell_letter, letters)), error.end


def _spell_letter(letter: str) -> str:
    if letter in SPELLINGS:
        return SPELLINGS[letter]
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    if plain:
        return plain
    is_drawn = "BOX DRAWINGS" in unicodedata.name(letter, "")
    return "-" if is_drawn else "?"
