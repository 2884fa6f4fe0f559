"""bert model serve: answer rows and texts over HTTP."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.console import print_lines

LIMITS = "Limits"
ACCESS = "Access"

Port = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65_535, help="0: any free one")
]
Host = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", help="to listen on; 0.0.0.0 lets other machines in"),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--served-model-name",
        metavar="NAME",
        help="of the model for clients (default: that of the run)",
        show_default=False,
    ),
]
Adapters = Annotated[
    Path | None,
    typer.Option(
        "--adapters",
        metavar="FOLDER",
        help="serve all adapters in it on one base, each under the name of its folder",
        show_default=False,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        metavar="FILE",
        help="with the key that clients need (default: that in BERT_API_KEY, else none)",
        show_default=False,
        rich_help_panel=ACCESS,
    ),
]
Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--cors-allow-origin",
        metavar="ORIGIN",
        help="whose pages may ask, such as https://example.com; may be repeated (default: none)",
        show_default=False,
        rich_help_panel=ACCESS,
    ),
]
AccessLog = Annotated[
    bool,
    typer.Option("--access-log/--no-access-log", help="a JSON line for each request, on stderr"),
]


def _limit(name: str, help_text: str, metavar: str = "N") -> Any:
    return typer.Option(name, metavar=metavar, min=1, help=help_text, rich_help_panel=LIMITS)


BatchTokens = Annotated[int, _limit("--max-batch-tokens", "tokens that are computed together")]
BatchRows = Annotated[
    int | None,
    typer.Option(
        "--max-batch-requests",
        metavar="N",
        min=1,
        help="rows that are computed together (default: as many as fit)",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--max-wait-ms",
        metavar="MS",
        min=0,
        help="a batch with room waits for requests that are being tokenised",
        rich_help_panel=LIMITS,
    ),
]
Concurrent = Annotated[int, _limit("--max-concurrent-requests", "at once; one more is told 429")]
ClientBatch = Annotated[int, _limit("--max-client-batch-size", "texts of one request")]
MaxRows = Annotated[int, _limit("--max-rows", "rows of one JSON request; CSV has no limit")]
Payload = Annotated[int, _limit("--payload-limit", "of a request", "BYTES")]
CsvLimit = Annotated[int, _limit("--csv-limit", "of a CSV", "BYTES")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.001,
        help="then a request is told 504",
        rich_help_panel=LIMITS,
    ),
]
Workers = Annotated[int, _limit("--tokenization-workers", "threads that make tokens")]
AutoTruncate = Annotated[
    bool,
    typer.Option(
        "--auto-truncate",
        metavar="",
        help="cut texts that are too long, unasked",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]


def serve(
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    port: Port = 3000,
    host: Host = "127.0.0.1",
    served_model_name: Name = None,
    adapters: Adapters = None,
    precision: options.PredictPrecisionName = options.PredictPrecision.AUTO,
    api_key_file: KeyFile = None,
    cors_allow_origin: Origins = None,
    access_log: AccessLog = True,
    max_batch_tokens: BatchTokens = 16_384,
    max_batch_requests: BatchRows = None,
    max_wait_ms: Wait = 5.0,
    max_concurrent_requests: Concurrent = 512,
    max_client_batch_size: ClientBatch = 32,
    max_rows: MaxRows = 10_000,
    payload_limit: Payload = 2_000_000,
    csv_limit: CsvLimit = 268_435_456,
    timeout: Timeout = 60.0,
    auto_truncate: AutoTruncate = False,
    tokenization_workers: Workers = 2,
    log_level: options.LogLevel = None,
) -> None:
    """Answer rows and texts over HTTP: JSON, CSV, a page, and the routes of TEI, OpenAI and KServe v2."""
    from bert_playground.extras import require_extra
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    require_extra("serve", "bert serve")
    from bert_playground.serving.settings import ServeSettings
    from bert_playground.serving.start import start_server

    settings = ServeSettings(
        max_batch_tokens=max_batch_tokens,
        max_batch_requests=max_batch_requests,
        max_wait_seconds=max_wait_ms / 1000,
        max_concurrent_requests=max_concurrent_requests,
        max_client_batch_size=max_client_batch_size,
        max_rows=max_rows,
        payload_limit=payload_limit,
        csv_limit=csv_limit,
        timeout_seconds=timeout,
        auto_truncate=auto_truncate,
        tokenization_workers=tokenization_workers,
        cors_allow_origin=tuple(cors_allow_origin or ()),
    )
    start_server(
        None if adapters else choose_checkpoint(checkpoint, more_checkpoints),
        settings,
        host=host,
        port=port,
        name=served_model_name,
        adapters_dir=adapters,
        precision=precision.value,
        api_key_file=api_key_file,
        with_access_log=access_log,
        announce=print_lines,
    )
