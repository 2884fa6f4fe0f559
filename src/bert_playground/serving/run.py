"""open_socket, run_server: listen before a model is loaded, answer, and drain when told to end."""

import errno
import signal
import socket

import uvicorn
from fastapi import FastAPI

DRAIN_SECONDS = 60  # that requests may still take after SIGTERM


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one.

    Raises:
        ValueError: the port is taken or not allowed, or the host is not this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ValueError(
            f"--host {host} is no address of this machine ({error.strerror}); try 127.0.0.1"
        ) from error
    # asyncio turns Nagle's algorithm off for sockets that say they are TCP, and else an answer waits 40 ms for its second part.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        reasons = {
            errno.EADDRINUSE: f"port {port} is taken; choose another with --port, such as --port {port + 1}",
            errno.EACCES: f"port {port} is for the administrator; choose one above 1023 with --port",
            errno.EADDRNOTAVAIL: f"--host {host} is no address of this machine; try 127.0.0.1",
        }
        raise ValueError(reasons.get(error.errno or 0, str(error))) from error
    return listening


def run_server(app: FastAPI, listening: socket.socket) -> None:
    """Answer until SIGTERM or Ctrl-C; requests that are being answered are finished."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody asks for a client's address
        ws="none",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    # uvicorn raises the signal once more when it is done; a drained server has ended as it should.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
