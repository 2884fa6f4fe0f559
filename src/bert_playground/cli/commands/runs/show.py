"""bert runs show: the figures of one run in the terminal."""

from typing import TYPE_CHECKING

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table, spell_setting
from bert_playground.cli.utils.run_choice import OUTPUT, OneRun, RunsFolder

if TYPE_CHECKING:
    from bert_playground.run_list import RunEntry


def show(
    run: OneRun = "latest",
    folder: RunsFolder = OUTPUT,
    json: options.Json = False,
) -> None:
    """Show one run: its result beside the constant answer, settings that differ from the defaults, files."""
    from bert_playground.config.changes import list_changes
    from bert_playground.run_list import find_run, read_entry

    entry = read_entry(find_run(run, folder).path)
    if entry.record is None:
        raise ValueError(entry.fault)
    changes = list_changes(entry.record.settings.values)
    if json:
        print_json(
            {
                **entry.to_dict(),
                "baseline": entry.record.summary.baseline,
                "settings": {path: value for path, (value, _) in changes.items()},
                "environment": entry.record.environment.model_dump(),
                "files": entry.record.summary.files,
            }
        )
        return
    _print_metrics(entry)
    sources = entry.record.settings.sources
    if changes:
        rows = [
            (path, spell_setting(value), spell_setting(default), sources.get(path))
            for path, (value, default) in changes.items()
        ]
        columns = ("setting", "value", "default", "set by")
        print_table("settings that differ from their defaults", columns, rows)
    files = dict(entry.record.summary.files)
    if entry.run.report_path.is_file():
        files["report"] = str(entry.run.report_path)
    width = max(map(len, files), default=0)
    print_lines(["", *(f"{name:<{width}}  {path}" for name, path in files.items())])


def _print_metrics(entry: "RunEntry") -> None:
    assert entry.record is not None
    summary = entry.record.summary
    when = "" if entry.status == "complete" else f", {entry.status}"
    title = f"{entry.run.path}{when}: {entry.value('target') or entry.kind} ({entry.value('task') or 'no task yet'}), {entry.model}"
    members = summary.blend.get("members", ())
    print_table(
        title,
        ("metric", "this run", "constant answer"),
        [(name, value, summary.baseline.get(name)) for name, value in entry.metrics.items()],
    )
    if members:
        print_table(
            f"members, by {summary.blend.get('metric')} out of fold",
            ("member", "weight", "score", "±"),
            [
                (each["name"], each["weight"], each["score"], each["standard_error"])
                for each in members
            ],
        )
