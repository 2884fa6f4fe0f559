"""refuse_other_formats: files that are no CSV, whatever their name says."""

from pathlib import Path

# Magic bytes → what the file is, and what to do.
SIGNATURES = (
    (b"\x1f\x8b", "compressed by gzip", "give it the ending .gz"),
    (b"PK\x03\x04", "a zip archive or a workbook of Excel", "give it the ending .zip, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old workbook of Excel", "save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstandard", "give it the ending .zst"),
    (b"\xfd7zXZ", "compressed by xz", "give it the ending .xz"),
    (b"BZh", "compressed by bzip2", "give it the ending .bz2"),
    (b"PAR1", "a Parquet file", "give it the ending .parquet"),
    (b"ARROW1", "an Arrow file", "give it the ending .arrow"),
    (b"%PDF", "a PDF", "export the table in it as CSV"),
    (b"<!doctype html", "a web page, perhaps one that asks to sign in", "download the table again"),
    (b"<html", "a web page, perhaps one that asks to sign in", "download the table again"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with `git lfs pull`"),
)  # fmt: skip


def refuse_other_formats(path: Path, content: bytes) -> None:
    """Raise for a file that is of a known other format than text with delimiters.

    Args:
        path: named in the message.
        content: its first bytes or more.

    Raises:
        ValueError: says what the file is, and what to do.
    """
    start = content[:64].lstrip(b" \t\r\n\xef\xbb\xbf").lower()
    for signature, what, remedy in SIGNATURES:
        if content.startswith(signature) or start.startswith(signature):
            raise ValueError(f"{path} is no CSV but {what}; {remedy}")
