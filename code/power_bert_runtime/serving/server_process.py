"""The server process: socket, logs in JSON, and an orderly end."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import uvicorn

from power_bert_runtime import UserError
from power_bert_runtime.serving.application import create_app
from power_bert_runtime.serving.hosted_models import ModelProcess, ServableModel
from power_bert_runtime.serving.server_settings import ServerSettings


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def serve(load: Callable[[], Mapping[str, ServableModel]], settings: ServerSettings, page: Path | None) -> None:
    """Serve models until SIGTERM or Ctrl-C; then accepted requests are finished, and the function returns.

    Args:
        load: Function that loads the models, name → model; called when the port is known to be free.
        settings: Address, limits, batching and token.
        page: Folder of the built page; None for none.

    Raises:
        UserError: The port is in use or not allowed, or `load` raises one.
    """
    listener = _bind(settings)
    with listener:
        models = load()
        app = create_app(models, settings, page)
        _configure_logs()
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=round(settings.shutdown_s),
        )
        # uvicorn ends an orderly shutdown by raising the signal once more, which these then ignore.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, _ignore)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host}:{listener.getsockname()[1]}"
        logging.getLogger("power_bert_runtime.server").info("serving", extra={"fields": {"address": address}})
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except OSError as error:
            raise _cannot_listen(settings, error) from error
        finally:
            # A second Ctrl-C skips the orderly end, and this process would wait for one that hangs.
            for model in models.values():
                if isinstance(model, ModelProcess):
                    model.close()


def _bind(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        if sys.platform != "win32":  # where it would allow two servers on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise _cannot_listen(settings, error) from error
    return listener


def _cannot_listen(settings: ServerSettings, error: Exception) -> UserError:
    return UserError(
        f"{settings.host}, port {settings.port}: cannot be used ({error}); choose another with --port or --host"
    )


def _configure_logs() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("power_bert_runtime", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "power_bert_runtime" else logging.WARNING)


def _ignore(signal_number: int, frame: FrameType | None) -> None:
    """Do nothing."""
