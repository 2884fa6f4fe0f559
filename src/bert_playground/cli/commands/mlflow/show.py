"""bert mlflow show: one tracked run: what was asked for, what came out, what lies in it."""

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table
from bert_playground.cli.utils.tracking import RunName, StoreName, open_store


def show(run: RunName, store: StoreName = None, json: options.Json = False) -> None:
    """Show a tracked run: settings that were given, metrics, tables, files, model, and the runs inside it."""
    from bert_playground.tracking.tracked_run import RESULT

    opened = open_store(store)
    found = opened.find_run(run)
    inside, files = opened.children(found), opened.files(found)
    if json:
        children = [{"name": each.name, "run_id": each.run_id} for each in inside]
        print_json({**found.to_dict(), "children": children, "files": files})
        return
    seconds = "" if found.seconds is None else f", {found.seconds:.0f} s"
    print_lines(
        [f"{found.name}   {found.run_id}   {found.status}, began {found.began} UTC{seconds}"]
    )
    print_table(
        f"given, in experiment {found.experiment}",
        ("setting", "value", "by"),
        [(path, found.params.get(path), source) for path, source in sorted(found.given.items())],
    )
    print_table("metrics", ("metric", "value"), sorted(_measured(found.metrics).items()))
    results = {k.removeprefix(RESULT): v for k, v in found.params.items() if k.startswith(RESULT)}
    print_lines([", ".join(f"{name} {value}" for name, value in results.items())])
    if inside:
        rows = [(each.name, each.run_id[:8], each.status) for each in inside]
        print_table("runs inside it", ("run", "id", "status"), rows)
    for table in found.tables:
        print_lines([f"{table['context']}: {table['name']}, sha256 {table['digest']}…"])
    if found.model_id is not None:
        print_lines([f"model: models:/{found.model_id}"])
    print_lines([f"files: {', '.join(files)}"] if files else [])


def _measured(metrics: dict[str, float]) -> dict[str, float]:
    """Without what the machine did."""
    return {name: value for name, value in metrics.items() if not name.startswith("system/")}
