"""Settings of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSettings:
    """Address, limits and batching.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any free port.
        token: Bearer token that requests must carry; None for none.
        batch_size: Largest number of examples that a model computes at a time.
        window_ms: Time that the first example of a batch waits for others, in milliseconds.
        max_queue: Largest number of examples that wait for one model; more are answered 429.
        max_texts: Largest number of examples of one request; more are answered 413.
        max_characters: Largest number of characters of one text; longer ones are answered 413.
        max_body_bytes: Largest size of a request's body; larger ones are answered 413.
        timeout_s: Time until a request is answered 504, in seconds.
        compare_timeout_s: Time until a comparison is answered 504, in seconds.
        shutdown_s: Time for accepted requests after SIGTERM or Ctrl-C, in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    batch_size: int = 32
    window_ms: float = 2.0
    max_queue: int = 1024
    max_texts: int = 256
    max_characters: int = 100_000
    max_body_bytes: int = 4 << 20
    timeout_s: float = 30.0
    compare_timeout_s: float = 120.0
    shutdown_s: float = 30.0
