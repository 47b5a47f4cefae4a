"""rookery.toml says what the code does: the same keys, the same defaults, each explained."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from config.settings import DEFAULTS_PATH, Settings, TokenBucket, load
from config.variables import ARCHIVE_KEYS

TEXT = DEFAULTS_PATH.read_text(encoding="utf-8")
TABLES = tomllib.loads(TEXT)


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_in(part))), None)


def fields(model: type[BaseModel], table: str = "") -> Iterator[tuple[str, str, object]]:
    """Yield the table, name and default of every leaf that a file can set."""
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if name == "vars" or inner is not None:
            yield from fields(inner, f"{table}.{name}".lstrip(".")) if inner else ()
        elif name not in ARCHIVE_KEYS:
            yield table, name, field.default


def sections(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", list[str]()
    for line in text.splitlines():
        if header := re.fullmatch(r"\[\[?([a-z0-9_.]+)\]\]?", line):
            yield name, lines
            name, lines = header[1], []
        else:
            lines.append(line)
    yield name, lines


def explained(text: str, table: str, key: str) -> bool:
    """Say whether the table's first mention of the key, in use or behind a #, stands under a comment."""
    for section, lines in sections(text):
        for above, line in zip(["", *lines], lines, strict=False):
            if section == table and re.match(rf"(# )?{key} = ", line):
                return above.startswith("# ")
    return False


def test_file_holds_the_defaults() -> None:
    """The shipped file, read as it stands, is what Settings is without any file."""
    assert Settings.model_validate(TABLES) == Settings()


def test_loading_the_file_equals_loading_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that copies the file behaves as one without a file in the same folder."""
    (tmp_path / "rookery.toml").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path / "rookery.toml", environ={}) == load(None, environ={})


def test_file_sets_every_key_that_has_a_default() -> None:
    """No default is left to the code alone: a key is in the file unless its default is the absence of a value."""
    given = Settings.model_validate(TABLES)
    assert given.model_fields_set == set(Settings.model_fields)
    for table in (given.server, given.triggers, given.limits, given.limits.rates, given.alerts):
        assert set(type(table).model_fields) - table.model_fields_set <= {"public_url", "webhook_url", "smtp_username"}
    for database in given.d1_databases:
        assert set(type(database).model_fields) - database.model_fields_set == {"migrations_dir"}
    unset = set(type(given.archive).model_fields) - given.archive.model_fields_set
    assert unset == {"endpoint", "access_key_id", "secret_access_key"}


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, key, _ in fields(Settings) if "rates" not in table])
def test_every_key_is_explained(table: str, key: str) -> None:
    """Each key stands in the file directly under a comment."""
    assert explained(TEXT, table, key)


def test_rates_are_explained() -> None:
    """The two keys of a token bucket are explained once, in the first of the buckets."""
    assert all(explained(TEXT, "limits.rates.user", key) for key in TokenBucket.model_fields)


def test_explanations_can_be_missing() -> None:
    """The check above finds a key without a comment and a key that is not there."""
    assert explained("[server]\n# Why.\nport = 1", "server", "port")
    assert not explained("[server]\n\nport = 1", "server", "port")
    assert not explained("[limits]\n# Why.\nport = 1", "server", "port")


def test_keys_behind_a_comment_sign_are_valid() -> None:
    """The examples that the file keeps behind a # are accepted when they are put to use."""
    used = re.sub(r"^# ([a-z_]+ = )", r"\1", TEXT, flags=re.MULTILINE)
    settings = Settings.model_validate(tomllib.loads(used))
    assert settings.server.public_url == "https://chat.example.org"
    assert settings.archive.endpoint is not None
    assert settings.shards.migrations_dir == Path("migrations/shard")


def test_example_environment_works(tmp_path: Path) -> None:
    """The environment that the file shows as an example can be used as it is written."""
    head, _, example = TEXT.rpartition("#\n#   [env.staging.server]")
    assert head
    path = tmp_path / "rookery.toml"
    path.write_text(head + re.sub(r"^#\s*", "", "#   [env.staging.server]" + example, flags=re.MULTILINE))
    settings = load(path, environment="staging", environ={})
    assert (settings.name, settings.server.port) == ("rookery-staging", 8788)
    assert settings.archive.bucket_name == "archive-staging"


def test_settings_are_frozen() -> None:
    """Nothing changes a setting after it was read."""
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1


def test_dumps_read_back_as_the_same_settings() -> None:
    """What model_dump gives, for Python or for JSON, makes the same settings again."""
    given: dict[str, Any] = {
        "vars": {"a": 1, "b": True, "c": 1.5, "d": "x"},
        "server": {"trusted_proxies": ["10.0.0.0/8", "::1"], "public_url": "https://chat.example.org"},
        "limits": {"rates": {"user": {"per_second": 1, "burst": 1}}},
    }
    settings = Settings.model_validate(given)
    assert Settings.model_validate(settings.model_dump()) == settings
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings
    assert type(settings.vars["b"]) is bool
