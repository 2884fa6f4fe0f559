"""ServeSettings: limits and names of a server; the defaults are those of text-embeddings-inference where it has them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServeSettings:
    """What a server allows.

    Attributes:
        name: that the model has for clients.
        max_batch_tokens: of all rows that are computed together.
        max_batch_requests: rows that are computed together, however short they are; None: as many as fit.
        max_wait_seconds: how long a batch with room waits for requests that are being tokenised.
        max_concurrent_requests: requests that are being answered; one more is told 429.
        max_client_batch_size: texts of one request.
        max_rows: rows of one JSON request.
        payload_limit: bytes of a request.
        csv_limit: bytes of a CSV.
        timeout_seconds: after which a request is told 504.
        auto_truncate: whether texts that are too long are cut without being asked.
        tokenization_workers: threads that make tokens.
        cors_allow_origin: origins whose pages may ask; (): no others than our own.
    """

    name: str = "model"
    max_batch_tokens: int = 16_384
    max_batch_requests: int | None = None
    max_wait_seconds: float = 0.005
    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    max_rows: int = 10_000
    payload_limit: int = 2_000_000
    csv_limit: int = 256 * 2**20
    timeout_seconds: float = 60.0
    auto_truncate: bool = False
    tokenization_workers: int = 2
    cors_allow_origin: tuple[str, ...] = ()
