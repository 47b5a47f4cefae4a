"""Log lines: text on a terminal, a JSON object a line for collectors.

Records carry facts as `extra` fields. No secrets, no message text and no tokens are ever logged, so libraries that
would show them at the debug level stay at info.
"""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

OURS: Final = ("config", "directory", "migrations", "monitor", "objects", "rookery", "router", "shard")
EXACT_MAX: Final = 2**53 - 1
"""The largest integer that every reader of JSON takes exactly (RFC 8259, section 6); larger ones are strings."""
KNOWN: Final = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message", "taskName"))
"""Attributes of every record; all others are fields of the call."""


def configure(level: str, form: str) -> None:
    """Send every log line to stderr, from `level` on, as "human", "json", or "auto" (human on a terminal)."""
    is_human = form == "human" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HumanFormatter() if is_human else JsonFormatter())
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(number, logging.INFO))
    for name in OURS:
        logging.getLogger(name).setLevel(number)
    # The command reports the start itself, in fewer words than uvicorn.
    logging.getLogger("uvicorn").setLevel(logging.INFO if number < logging.INFO else max(number, logging.WARNING))
    logging.captureWarnings(capture=True)


class HumanFormatter(logging.Formatter):
    """`12:30:01 WARNING a shard failed room_id=7`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        words = [moment, f"{record.levelname:<7}", _line(record.getMessage())]
        words += [f"{name}={_value(str(value))}" for name, value in _fields(record).items()]
        return "\n".join([" ".join(words), *_traceback(self, record)])


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, logger, message, the fields, and `exception` with the traceback.

    Ids are strings: many readers of JSON, jq among them, keep 53 bits of a number.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            **{name: _exact(name, value) for name, value in _fields(record).items()},
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for text in _traceback(self, record):
            line["exception"] = text
        return json.dumps(line, default=str)


def _exact(name: str, value: Any) -> Any:
    """Return a value as every reader of JSON takes it: ids, and numbers that others would round, as strings."""
    if isinstance(value, dict):
        return {key: _exact(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_exact(name, inner) for inner in value]
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    return str(value) if name.endswith(("_id", "_ids")) or abs(value) > EXACT_MAX else value


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in KNOWN}


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []


def _line(text: str) -> str:
    """Return a text on one line, without characters that control a terminal."""
    return text if text.isprintable() else json.dumps(text)


def _value(text: str) -> str:
    is_bare = text.isprintable() and text and not set(text) & set(' "=')
    return text if is_bare else json.dumps(text, ensure_ascii=not text.isprintable())


def watched(app: ASGIApp) -> ASGIApp:
    """Return the application with a debug line for each answer; `app` itself where that level is off."""
    if not log.isEnabledFor(logging.DEBUG):
        return app

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        status, request_id = 0, ""
        began = time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = dict(message["headers"]).get(b"x-request-id", b"").decode()
            await send(message)

        try:
            await app(scope, receive, note)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1_000, 1)
            facts = {"method": scope.get("method"), "path": _path(scope), "status": status}
            log.debug("answered", extra={**facts, "milliseconds": milliseconds, "request_id": request_id})

    return serve


def _path(scope: Scope) -> str:
    """Return the path of a request without its secret parts: the codes of invites, and any unknown path."""
    if "endpoint" not in scope:
        return "(no route)"
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        if not name.endswith("_id"):
            path = path.replace(f"/{value}", f"/{{{name}}}")
    return path
