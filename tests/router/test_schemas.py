"""What clients send, as models: exactly the documented fields, and text that every store can hold."""

import json
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import ids
from router import schemas
from router.schemas import (
    accounts,
    archive,
    bots,
    channels,
    chats,
    events,
    fields,
    files,
    fleet,
    gateway,
    invites,
    messages,
    moderation,
    pages,
    people,
    reactions,
    roles,
    rooms,
    search,
    site_admin,
    threads,
    time_zones,
    unread,
    voice,
    webhooks,
)
from router.schemas.accounts import UpdateProfile, UpdateSettings
from router.schemas.fields import Wire, parse_id
from router.schemas.messages import SendMessage
from shard.text.visible_text import is_visible

PARTS = (
    accounts,
    archive,
    bots,
    chats,
    fields,
    files,
    fleet,
    gateway,
    invites,
    webhooks,
    moderation,
    site_admin,
    unread,
    roles,
    rooms,
    search,
    channels,
    messages,
    threads,
    voice,
)

OF_ANSWERS = (events, pages, people, reactions, time_zones)


def _models(model: type[Wire]) -> set[type[Wire]]:
    return {model}.union(*map(_models, model.__subclasses__())) - {Wire}


MODELS = sorted(_models(Wire), key=lambda model: model.__name__)


def test_every_part_is_examined() -> None:
    """No module of models is left out of these tests."""
    assert {part.name for part in pkgutil.iter_modules(schemas.__path__)} == {
        part.__name__.rpartition(".")[2] for part in (*PARTS, *OF_ANSWERS)
    }
    assert {model.__module__ for model in MODELS}.isdisjoint(part.__name__ for part in OF_ANSWERS)


@given(st.integers(1, ids.ID_MAX))
def test_ids_are_read_as_they_are_written(number: int) -> None:
    """Every id comes back from its decimal text."""
    assert parse_id(str(number)) == number


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.binary())
def test_nothing_else_is_an_id(value: Any) -> None:
    """A value is an id only if it is the very text that the server writes for it."""
    try:
        number = parse_id(value)
    except ValueError:
        return
    assert str(number) == value
    assert 1 <= number <= ids.ID_MAX


@pytest.mark.parametrize(
    "text", ["", "0", "01", "+1", "-1", " 1", "1 ", "1_0", "1.0", "٣", "²", "9223372036854775808", "1\n"]
)
def test_near_ids_are_refused(text: str) -> None:
    """What only looks like an id is refused."""
    with pytest.raises(ValueError, match="string of digits"):
        parse_id(text)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_refuses_what_it_does_not_know(model: type[Wire]) -> None:
    """No model lets an unknown field pass, and none can be changed."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json('{"no_such_field": 1}', strict=True)
    assert ("no_such_field",) in [error["loc"] for error in caught.value.errors()]
    assert model.model_config["frozen"]


def sample(schema: dict[str, Any]) -> Any:
    """Return text with U+0000 for every field that takes text."""
    kinds = [schema, *schema.get("anyOf", [])]
    return "a\0b" if any(kind.get("type") == "string" and "enum" not in kind for kind in kinds) else None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_text_has_nul(model: type[Wire]) -> None:
    """No field but a password, which is only hashed, takes U+0000, at which SQLite's functions would cut it."""
    fields = model.model_json_schema().get("properties", {})
    for name, schema in fields.items():
        value = sample(schema)
        if value is None or "password" in name:
            continue
        with pytest.raises(ValidationError) as caught:
            model.model_validate_json(json.dumps({name: value}), strict=True)
        assert (name,) in [error["loc"] for error in caught.value.errors()]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_content_is_kept_to_the_letter(text: str) -> None:
    """A message with something to see in it is taken as it is, whatever its characters."""
    body = json.dumps({"content": text})
    if "\0" in text or not is_visible(text):
        with pytest.raises(ValidationError):
            SendMessage.model_validate_json(body, strict=True)
    else:
        assert SendMessage.model_validate_json(body, strict=True).content == text


def test_names_are_trimmed_before_they_are_measured() -> None:
    """Spaces around a name do not count, and a name of spaces is none."""
    assert UpdateProfile.model_validate_json(json.dumps({"display_name": " " * 90 + "Anna "})).display_name == "Anna"
    for name in ("", "  ", "\u2003", "x" * 65):
        with pytest.raises(ValidationError):
            UpdateProfile.model_validate_json(json.dumps({"display_name": name}))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_settings_are_what_can_be_answered(value: Any) -> None:
    """Settings of a client pass if JSON can carry them there and back, and are refused otherwise."""
    try:
        settings = UpdateSettings.model_validate({"settings": {"a": value}}).settings
    except ValidationError:
        return
    assert json.loads(json.dumps(settings, allow_nan=False)) == {"a": value}
