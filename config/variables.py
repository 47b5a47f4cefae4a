"""Environment variables beside the file: changes to [server], and the keys of buckets, which are read only from here.

The value of a variable is shown only for [server]; a key, or the path of a file with a key, never is.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel, SecretStr

from config.errors import Problem

SERVER = "ROOKERY_SERVER_"
ARCHIVE = "ROOKERY_ARCHIVE_"
ARCHIVE_KEYS = {"access_key_id": f"{ARCHIVE}ACCESS_KEY_ID", "secret_access_key": f"{ARCHIVE}SECRET_ACCESS_KEY"}
FILES = "ROOKERY_FILES_"
FILES_KEYS = {"access_key_id": f"{FILES}ACCESS_KEY_ID", "secret_access_key": f"{FILES}SECRET_ACCESS_KEY"}
BUCKET_KEYS = {"ARCHIVE": ARCHIVE_KEYS, "FILES": FILES_KEYS}
"""By binding, the variable of each key."""
ALERTS = "ROOKERY_ALERTS_"
WEBHOOK_SECRET = f"{ALERTS}WEBHOOK_SECRET"
SMTP_PASSWORD = f"{ALERTS}SMTP_PASSWORD"
KEY_BYTES_MAX = 4_096
"""Bytes of a file that holds a secret. A larger one is refused."""


def server(environ: Mapping[str, str], model: type[BaseModel]) -> tuple[dict[str, object], list[Problem]]:
    """Return the keys of [server] that variables set, not yet checked, and a problem for each unknown variable."""
    fields = {f"{SERVER}{name.upper()}": name for name in model.model_fields}
    keys = [*(name for names in BUCKET_KEYS.values() for name in names.values()), WEBHOOK_SECRET, SMTP_PASSWORD]
    known = [*fields, *(name + end for name in keys for end in ("", "_FILE"))]
    unknown = [
        Problem(name, "an unknown variable", _nearest(name, known))
        for name in sorted(environ)
        if name.startswith((SERVER, ARCHIVE, FILES, ALERTS)) and name not in known
    ]
    values = {
        field: _parse(environ[name], model.model_fields[field].annotation)
        for name, field in fields.items()
        if name in environ
    }
    return values, unknown


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{near[0]} (the nearest known variable)" if near else f"one of {', '.join(known)}"


def _parse(value: str, annotation: object) -> object:
    if annotation is int:
        # Text that is no number stays text, so that the model refuses it with its own message.
        return int(value) if value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20 else value
    if annotation is bool:
        return {"true": True, "false": False}.get(value, value)
    if get_origin(annotation) is tuple:
        return [part.strip() for part in value.split(",") if part.strip()]
    return (value or None) if type(None) in get_args(annotation) else value


def bucket_keys(
    environ: Mapping[str, str], binding: str, *, needed: bool
) -> tuple[dict[str, SecretStr], list[Problem]]:
    """Return a bucket's keys where an endpoint makes them `needed`; for a folder on disk none is read."""
    keys: dict[str, SecretStr] = {}
    problems: list[Problem] = []
    for field, name in BUCKET_KEYS[binding].items() if needed else ():
        found = _secret(environ, name, "the key for the bucket's endpoint", _WORD)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            keys[field] = SecretStr(found)
    return keys, problems


def webhook_secret(environ: Mapping[str, str]) -> SecretStr | Problem:
    """Return the secret that signs alerts to a webhook."""
    found = _secret(environ, WEBHOOK_SECRET, "the secret that the receiver knows, such as whsec_…", _SIGNING_SECRET)
    return found if isinstance(found, Problem) else SecretStr(found)


def smtp_password(environ: Mapping[str, str]) -> SecretStr | Problem:
    """Return the password for sending mail."""
    found = _secret(environ, SMTP_PASSWORD, "the password that belongs to smtp_username", _LINE)
    return found if isinstance(found, Problem) else SecretStr(found)


_WORD = (re.compile(r"[!-~]+"), "a key that is empty, too long or has other letters", "one word of ASCII letters")
_SIGNING_SECRET = (
    re.compile(r"whsec_[A-Za-z0-9+/]{32,86}={0,2}"),
    "something else than a signing secret",
    "whsec_ and 24 to 64 bytes in base64 (make one: echo whsec_$(head -c 32 /dev/urandom | base64 -w 0))",
)
_LINE = (re.compile(r"[^\0\r\n]+"), "a password that is empty, too long or has several lines", "one line")


def _secret(
    environ: Mapping[str, str], name: str, purpose: str, kind: tuple[re.Pattern[str], str, str]
) -> str | Problem:
    value, file = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if value and file:
        return Problem(name, f"both {name} and {name}_FILE", "only one of them")
    if not value and not file:
        return Problem(name, "nothing", f"{purpose}, or in {name}_FILE the path of a file with it")
    found = value or _key_in(file)
    if found is None:
        return Problem(f"{name}_FILE", "a path that cannot be read", "the path of a readable file with the key")
    pattern, wrong, right = kind
    if not pattern.fullmatch(found):
        return Problem(name if value else f"{name}_FILE", wrong, right)
    return found


def _key_in(file: str) -> str | None:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(KEY_BYTES_MAX + 1)
    except (OSError, ValueError):
        return None
    return "" if len(content) > KEY_BYTES_MAX else content.decode("latin-1").strip("\r\n")
