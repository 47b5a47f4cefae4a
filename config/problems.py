"""Problems made of pydantic's errors: each on one line, without secrets, in words that a person can act on."""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.errors import Problem
from config.lines import Location
from config.variables import ARCHIVE_KEYS

Model = TypeVar("Model", bound=BaseModel)

EXPECTED = {
    "dict_type": "a table",
    "missing": "a value (this key has no default)",
    "model_type": "a table",
    "mapping_type": "a table",
    "tuple_type": "an array",
}
SHOWN_MAX = 60
"""Characters of a wrong value that a message shows."""


def validate(
    model: type[Model], values: Mapping[str, Any], context: object = None
) -> tuple[Model | None, list[ErrorDetails]]:
    """Return the model, or the problems; the exception stays here because it carries the values."""
    try:
        return model.model_validate(values, context=context), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def explain(
    model: type[BaseModel],
    error: ErrorDetails,
    place: Callable[[Location], tuple[str, int | None]],
) -> Problem:
    """Return the problem of one error; `place` returns the place of its value: the key's path and line."""
    location, context = error["loc"], error.get("ctx", {})
    key, line = place(location)
    if error["type"] == "extra_forbidden":
        found, expected = "an unknown key", _nearest(model, location, key)
    elif error["type"] == "missing":
        found, expected = "nothing", EXPECTED["missing"]
    else:
        found = context.get("found") or show(error["input"], hidden=location[0] == "r2_buckets")
        expected = EXPECTED.get(error["type"]) or error["msg"].removeprefix("Input should be ")
    return Problem(key, found, expected, line)


def path_of(location: Location) -> str:
    """Return a key's path as people write it: d1_databases[1].size_limit_bytes."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{quote(part)}" for part in location)
    return "".join(parts).removeprefix(".")


def quote(key: str) -> str:
    """Return a key as TOML would have it written."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=not key.isprintable())


def show(value: object, *, hidden: bool = False) -> str:
    """Return a value on one line, cut short, without the secret parts of an address: names, passwords, queries.

    `hidden` strings show their length only: keys are easily pasted in the place of a bucket's name.
    """
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return _cut(str(value)) if isinstance(value, int | float) and abs(value) < 1e30 else _kind(value)
    if hidden:
        return f"a string of {len(value)} characters"
    plain = re.sub(r"\?.*", "?…", re.sub(r"\A(\w*://)?.*@", r"\1…@", value, flags=re.DOTALL), flags=re.DOTALL)
    return json.dumps(_cut(plain), ensure_ascii=not value.isprintable())


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


def _kind(value: object) -> str:
    return "a very large number" if isinstance(value, int | float) else f"a {type(value).__name__}"


def _nearest(model: type[BaseModel], location: Location, key: str) -> str:
    known = [name for name in _model_at(model, location[:-1]).model_fields if name not in ARCHIVE_KEYS]
    if key == quote(str(location[0])):
        known.append("env")
    near = difflib.get_close_matches(str(location[-1]).lower(), known, n=1)
    return f"{near[0]} (the nearest known key)" if near else f"one of {', '.join(known)}"


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    for part in location:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
