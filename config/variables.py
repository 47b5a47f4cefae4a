"""What the process environment adds to the file: changes to [server], and the keys of buckets, which live nowhere else.

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
KEY_BYTES_MAX = 4_096


def server(environ: Mapping[str, str], model: type[BaseModel]) -> tuple[dict[str, object], list[Problem]]:
    """Return the keys of [server] that variables set, not yet checked, and a problem for each unknown variable."""
    fields = {f"{SERVER}{name.upper()}": name for name in model.model_fields}
    keys = [name for names in BUCKET_KEYS.values() for name in names.values()]
    known = [*fields, *(name + end for name in keys for end in ("", "_FILE"))]
    unknown = [
        Problem(name, "an unknown variable", _nearest(name, known))
        for name in sorted(environ)
        if name.startswith((SERVER, ARCHIVE, FILES)) and name not in known
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
        # What is no number stays text, so that the model refuses it in its own words.
        return int(value) if value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20 else value
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
        found = _key(environ.get(name, ""), environ.get(f"{name}_FILE", ""), name)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            keys[field] = SecretStr(found)
    return keys, problems


def _key(value: str, file: str, name: str) -> str | Problem:
    if value and file:
        return Problem(name, f"both {name} and {name}_FILE", "only one of them")
    if not value and not file:
        return Problem(
            name, "nothing", f"the key for the bucket's endpoint, or in {name}_FILE the path of a file with it"
        )
    found = value or _key_in(file)
    if found is None:
        return Problem(f"{name}_FILE", "a path that cannot be read", "the path of a readable file with the key")
    if not re.fullmatch(r"[!-~]+", found):
        source = name if value else f"{name}_FILE"
        return Problem(source, "a key that is empty, too long or has other letters", "one word of ASCII letters")
    return found


def _key_in(file: str) -> str | None:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(KEY_BYTES_MAX + 1)
    except (OSError, ValueError):
        return None
    return "" if len(content) > KEY_BYTES_MAX else content.decode("latin-1").strip("\r\n")
