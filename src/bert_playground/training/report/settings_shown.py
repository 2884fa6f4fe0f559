"""show_settings: what was asked for beyond the defaults; show_environment: what the run was computed with."""

import shlex
from typing import Any

from bert_playground.config.changes import list_changes
from bert_playground.config.flags import settings
from bert_playground.run_record import RunRecord
from bert_playground.training.report.blocks import Block, Cell, Table, Text


def show_settings(record: RunRecord) -> list[Block]:
    """A table of the settings that differ from their defaults, each with its source."""
    changes = list_changes(record.settings.values)
    if not changes:
        return [Text(("Everything was left at its default.",))]
    known = settings()
    rows: list[tuple[Cell, ...]] = [
        (
            path,
            spell_setting(value),
            known[path].unset if default is None else spell_setting(default),
            record.settings.sources.get(path),
        )
        for path, (value, default) in changes.items()
    ]
    columns = ("setting", "value", "default", "set by")
    return [Table("Settings that differ from their defaults", columns, tuple(rows))]


def spell_setting(value: Any) -> str:
    """As YAML would spell it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(spell_setting, value))}]"
    return "none" if value is None else str(value)


def show_environment(record: RunRecord) -> list[Block]:
    """Versions, device, commit and seed."""
    first = record.members[0] if record.members else record  # of an ensemble its members know it
    found = first.environment
    rows: list[tuple[Cell, ...]] = [
        ("command", shlex.join(["bert", *found.command[1:]]) if found.command else None),
        ("seed", found.seed),
        ("computed by", found.computed_by),
        ("device", found.device),
        ("cores", found.cpu_cores),
        ("platform", found.platform),
        ("python", found.python),
        ("git commit", found.git_commit),
        *found.versions.items(),
    ]
    summary = record.summary
    if summary.peak_memory_bytes:
        rows.append(("memory at most", f"{summary.peak_memory_bytes / 2**20:,.0f} MiB"))
    if summary.parameters:
        rows.append(
            ("parameters", f"{summary.parameters:,}, {summary.trained_parameters or 0:,} trained")
        )
    if summary.rows_per_second:
        rows.append(("rows per second", f"{summary.rows_per_second:,.0f}"))
    rows = [row for row in rows if row[1] is not None]
    return [Table("What the run was computed with", ("fact", "value"), tuple(rows))] if rows else []
