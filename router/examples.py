"""Examples of request bodies for the OpenAPI document, made from the models: what must be sent, and of a body without
such a field the one that it is mostly sent for."""

from typing import Any, Final

from pydantic import TypeAdapter

from router.schemas.fields import Wire
from shard.event_types import EventType

VALUES: Final = {
    "archive_after_days": 90,
    "content": "Hello, rooks!",
    "current_password": "correct horse battery",
    "delete_after_days": 365,
    "display_name": "Anna",
    "events": [EventType.MESSAGE_CREATED.value],
    "external_session_id": "call-7",
    "filename": "nest.png",
    "kind": "check",
    "name": "twigs",
    "new_password": "another horse battery",
    "nickname": "Ann",
    "password": "correct horse battery",
    "reason": "Spam.",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "title": "Nests",
    "url": "https://example.org/twigs",
    "username": "anna",
}
"""Values of fields whose type alone does not make a good one."""
OFTEN: Final = ("content",)
"""Fields that show a body of which every field can be left out, rather than its first."""


def example(model: type[Wire]) -> dict[str, Any]:
    """Return a body that the server reads as this model; raises ValueError where VALUES lacks a text."""
    schema = TypeAdapter(model).json_schema()
    fields = schema["properties"]
    names = schema.get("required") or [*(name for name in OFTEN if name in fields), *fields][:1]
    return {name: _value(name, fields[name], schema.get("$defs", {})) for name in names}


def _value(name: str, field: dict[str, Any], models: dict[str, Any]) -> Any:
    choice = next(one for one in field.get("anyOf", [field]) if one.get("type") != "null")
    if "$ref" in choice:
        choice = models[choice["$ref"].rpartition("/")[2]]
    if "examples" in field or name in VALUES:
        return field.get("examples", [VALUES.get(name)])[0]
    match choice:
        case {"examples": [value, *_]} | {"enum": [value, *_]} | {"const": value}:
            return value
        case {"type": "boolean"}:
            return True
        case {"type": "integer"}:
            return max(1, choice.get("minimum", 1))
        case {"type": "array", "items": items}:
            return [_value("", items, models)]
        case {"type": "object", "properties": fields}:
            return {part: _value(part, fields[part], models) for part in choice.get("required", fields)}
    raise ValueError(f"give {name!r} a value in VALUES: {choice}")
