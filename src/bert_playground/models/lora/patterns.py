"""match_whole: regular expressions of adapters, by an engine whose time is linear in the text, whatever the pattern."""

from collections.abc import Sequence

import polars as pl

MAX_LETTERS = 10_000


def match_whole(pattern: str, names: Sequence[str], where: str) -> list[bool]:
    """Which of the names a pattern fits from their first to their last letter.

    Python's own engine needs for some patterns of twenty letters more time than there is, and adapters come from strangers.
    This is Rust's, which has everything but lookaround and references to groups.

    Args:
        pattern: a regular expression.
        names: of layers.
        where: it stood, for the message.

    Raises:
        ValueError: it is none, or has what this engine has not.
    """
    if len(pattern) > MAX_LETTERS:
        raise ValueError(
            f"{where}: a pattern of {len(pattern):,} letters, expected at most {MAX_LETTERS:,}"
        )
    column = pl.Series(names, dtype=pl.String)
    try:
        column.head(0).to_frame("n").select(
            pl.col("n").str.contains(pattern)
        )  # it alone is one, too
        return column.str.contains(f"^(?:{pattern})$").to_list()
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())[-160:]
        raise ValueError(
            f"{where}: {pattern[:80]!r} is no regular expression that can be read here, such as one without lookaround and "
            f"references to groups ({reason})"
        ) from error
