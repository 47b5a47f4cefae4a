"""The archive's keys come from the environment or a file, and are never shown."""

import logging
import traceback
from pathlib import Path

import pytest

from config.errors import SettingsError
from config.settings import Settings, load

ID, SECRET = "AKIDEXAMPLE0001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
ID_NAME, SECRET_NAME = "ROOKERY_ARCHIVE_ACCESS_KEY_ID", "ROOKERY_ARCHIVE_SECRET_ACCESS_KEY"
BUCKET = '[[r2_buckets]]\nbinding = "ARCHIVE"\nbucket_name = "cold"\n'
ENDPOINT = 'endpoint = "https://s3.example.org"\n'

pytestmark = pytest.mark.security


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file whose archive lies behind an endpoint."""
    file = tmp_path / "rookery.toml"
    file.write_text(BUCKET + ENDPOINT)
    return file


def refusal(path: Path, environ: dict[str, str]) -> SettingsError:
    """Return the error, once neither it nor the traceback that reports it shows a key."""
    with pytest.raises(SettingsError) as caught:
        load(path, environ=environ)
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.problems) + repr(error.__dict__)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "", None, (type(error), error, error.__traceback__))
    shown += logging.Formatter().format(record)
    assert ID not in shown
    assert SECRET not in shown
    # Tools that print the whole chain must not find the parser's exceptions, which carry the file.
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


def test_keys_come_from_variables(path: Path) -> None:
    """With an endpoint the keys are read from their variables."""
    archive = load(path, environ={ID_NAME: ID, SECRET_NAME: SECRET}).archive
    assert archive.access_key_id is not None
    assert archive.access_key_id.get_secret_value() == ID
    assert archive.secret_access_key is not None
    assert archive.secret_access_key.get_secret_value() == SECRET


def test_keys_come_from_files(path: Path, tmp_path: Path) -> None:
    """Each key may stand in a file instead, with or without a line end."""
    (tmp_path / "id").write_text(ID)
    (tmp_path / "secret").write_text(SECRET + "\r\n")
    environ = {f"{ID_NAME}_FILE": str(tmp_path / "id"), f"{SECRET_NAME}_FILE": str(tmp_path / "secret"), ID_NAME: ""}
    assert load(path, environ=environ) == load(path, environ={ID_NAME: ID, SECRET_NAME: SECRET})


def test_keys_are_never_shown(path: Path) -> None:
    """Whatever prints or dumps the settings shows asterisks."""
    settings = load(path, environ={ID_NAME: ID, SECRET_NAME: SECRET})
    dumps = (settings.model_dump(mode="json"), settings.archive.model_dump(), settings.model_dump_json())
    shown = f"{settings!r} {settings} {settings.archive!r} {settings.archive} {dumps}"
    assert ID not in shown
    assert SECRET not in shown
    assert settings.model_dump(mode="json")["r2_buckets"][0]["secret_access_key"] == "**********"
    assert settings.model_dump(mode="json")["r2_buckets"][0]["access_key_id"] == "**********"


def test_keys_are_needed_only_behind_an_endpoint(path: Path) -> None:
    """An archive on disk needs no keys and reads none; behind an endpoint both are missed by name."""
    missing = [problem.key for problem in refusal(path, {}).problems]
    assert missing == [ID_NAME, SECRET_NAME]
    path.write_text(BUCKET)
    archive = load(path, environ={ID_NAME: ID, f"{SECRET_NAME}_FILE": "/nowhere"}).archive
    assert (archive.access_key_id, archive.secret_access_key) == (None, None)


def test_keys_are_missed_beside_other_problems(path: Path) -> None:
    """Missing keys are told in the same error as everything else."""
    path.write_text("[server]\nport = -1\n" + BUCKET + ENDPOINT)
    assert {problem.key for problem in refusal(path, {}).problems} == {"server.port", ID_NAME, SECRET_NAME}


def test_only_the_chosen_environment_needs_its_keys(path: Path) -> None:
    """An environment that nobody asked for may lie behind an endpoint without its keys at hand."""
    bindings = '[[env.{0}.r2_buckets]]\nbinding = "ARCHIVE"\nbucket_name = "cold"\n'
    path.write_text(BUCKET + bindings.format("production") + ENDPOINT)
    assert load(path, environ={}).archive.endpoint is None
    with pytest.raises(SettingsError, match=ID_NAME):
        load(path, environment="production", environ={})


@pytest.mark.parametrize(
    ("text", "key", "variable"),
    [
        (BUCKET + f'secret_access_key = "{SECRET}"', "r2_buckets[0].secret_access_key", SECRET_NAME),
        (BUCKET + f'access_key_id = "{ID}"', "r2_buckets[0].access_key_id", ID_NAME),
        (BUCKET + f'accessKeyId = "{ID}"', "r2_buckets[0].accessKeyId", ID_NAME),
        (f'[vars]\n{SECRET_NAME} = "{SECRET}"', f"vars.{SECRET_NAME}", SECRET_NAME),
        (f'aws-secret-access-key = "{SECRET}"', "aws-secret-access-key", SECRET_NAME),
        (f'[env.a.r2_buckets]\nsecret_access_key = "{SECRET}"', "env.a.r2_buckets.secret_access_key", SECRET_NAME),
        (f'secret_access_key = {{ a = ["{SECRET}"] }}', "secret_access_key", SECRET_NAME),
    ],
)
def test_keys_in_the_file_are_refused(path: Path, text: str, key: str, variable: str) -> None:
    """A key written into the file, anywhere, is refused with the place where it belongs, and not repeated."""
    error = refusal_at(path, text)
    problem = next(problem for problem in error.problems if problem.key == key)
    assert problem.found == "a secret, which this file must not hold"
    assert f"{variable}_FILE" in problem.expected
    assert problem.line is not None


def refusal_at(path: Path, text: str) -> SettingsError:
    path.write_text(text)
    return refusal(path, {})


@pytest.mark.parametrize(
    "text",
    [
        f'[[r2_buckets]]\nbinding = "{SECRET}"\nbucket_name = "cold"',
        f'[[r2_buckets]]\nbinding = "ARCHIVE"\nbucket_name = "{SECRET}"',
        BUCKET + f'endpoint = "https://{ID}:{SECRET}@s3.example.org"',
        BUCKET + f'endpoint = "https://s3.example.org/?key={SECRET}"',
        BUCKET + f'region = "{SECRET}"',
        BUCKET + f'token = "{SECRET}"',
        f'[server]\npublic_url = "https://{ID}:{SECRET}@chat.example.org"',
        f'[server]\npublic_url = "{ID}:{SECRET}@chat.example.org"',
        f'[server]\nallowed_origins = ["https://chat.example.org?key={SECRET}"]',
        f'[server]\nsecret = "{SECRET}"',
        f'r2_buckets = ["{SECRET}"]',
        f'[vars]\nnested = {{ secret = "{SECRET}" }}',
        f'secret = "{SECRET}"\nbroken = = "{SECRET}"',
        f'secret = "{SECRET}',
    ],
)
def test_misplaced_secrets_are_not_repeated(path: Path, text: str) -> None:
    """A key pasted where it does not belong is refused without being shown, also when the file is not TOML."""
    assert refusal_at(path, text).problems


def test_unusable_variables_do_not_show_their_value(path: Path, tmp_path: Path) -> None:
    """Keys given twice, with odd letters, as a path that is none, or under a mistyped name are told by name only."""
    good = {ID_NAME: ID, SECRET_NAME: SECRET}
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "long").write_text(SECRET * 1_000)
    (tmp_path / "lines").write_text(f"{SECRET}\n{SECRET}\n")
    for bad, key, found in (
        (good | {f"{SECRET_NAME}_FILE": str(tmp_path / "id")}, SECRET_NAME, "both"),
        (good | {SECRET_NAME: f"{SECRET} "}, SECRET_NAME, "other letters"),
        (good | {SECRET_NAME: f"{SECRET}é"}, SECRET_NAME, "other letters"),
        ({ID_NAME: ID, f"{SECRET_NAME}_FILE": SECRET}, f"{SECRET_NAME}_FILE", "cannot be read"),
        ({ID_NAME: ID, f"{SECRET_NAME}_FILE": "\0"}, f"{SECRET_NAME}_FILE", "cannot be read"),
        ({ID_NAME: ID, f"{SECRET_NAME}_FILE": str(tmp_path / "empty")}, f"{SECRET_NAME}_FILE", "empty"),
        ({ID_NAME: ID, f"{SECRET_NAME}_FILE": str(tmp_path / "long")}, f"{SECRET_NAME}_FILE", "too long"),
        ({ID_NAME: ID, f"{SECRET_NAME}_FILE": str(tmp_path / "lines")}, f"{SECRET_NAME}_FILE", "other letters"),
        (good | {"ROOKERY_ARCHIVE_SECRET_KEY": SECRET}, "ROOKERY_ARCHIVE_SECRET_KEY", "an unknown variable"),
    ):
        (problem,) = refusal(path, bad).problems
        assert problem.key == key
        assert found in problem.found
    load(path, environ=good)


def test_defaults_hold_no_keys() -> None:
    """Without an endpoint there is nothing to keep secret."""
    assert Settings().archive.secret_access_key is None
