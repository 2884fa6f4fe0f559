"""open_templates: the Jinja templates of documents that lie beside a module."""

from pathlib import Path

import jinja2


def open_templates(folder: Path, *, autoescape: bool = False) -> jinja2.Environment:
    """Templates of a folder; a name that is not given is an error, lines of control leave no blank line behind.

    Args:
        folder: that holds them.
        autoescape: for HTML: what is filled in is text, whatever signs it has.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,
    )
