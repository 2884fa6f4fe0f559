"""bert runs open: the report of a run in the browser."""

import os
import sys

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines
from bert_playground.cli.utils.run_choice import OUTPUT, OneRun, RunsFolder


def open_(
    run: OneRun = "latest",
    folder: RunsFolder = OUTPUT,
    json: options.Json = False,
) -> None:
    """Open the report of a run in the browser, and print where it lies; it is written first where there is none."""
    import webbrowser

    from bert_playground.run_list import find_run

    found = find_run(run, folder)
    if not found.report_path.is_file():
        from bert_playground.training.report.write import write_report

        write_report(found)
    path = found.report_path.resolve()
    is_opened = _has_display() and webbrowser.open(path.as_uri())
    if json:
        print_json({"report": path, "opened": is_opened})
        return
    print_lines([str(path)])


def _has_display() -> bool:
    """Whether a browser has a screen to open on."""
    if sys.platform == "darwin":
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
