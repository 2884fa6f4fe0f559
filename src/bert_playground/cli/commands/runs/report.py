"""bert runs report: write report.html of a run, also of an older or a stopped one."""

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines
from bert_playground.cli.utils.run_choice import OUTPUT, ManyRuns, RunsFolder


def report(
    runs: ManyRuns,
    folder: RunsFolder = OUTPUT,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Write the report of runs, also of older and stopped ones: tables are read and rows answered again."""
    from bert_playground.logs import set_up_logs
    from bert_playground.run_list import find_runs
    from bert_playground.training.report.write import write_report

    set_up_logs(log_level.value if log_level else "WARNING")
    written = [write_report(run) for name in runs for run in find_runs(name, folder)]
    if json:
        print_json([{"report": path} for path in written])
        return
    print_lines(map(str, written))
