"""Where the files of messages are kept: a folder, or a bucket with keys of its own."""

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.settings import Settings, load

ARCHIVE = '[[r2_buckets]]\nbinding = "ARCHIVE"\nbucket_name = "cold"\n'
FILES = '[[r2_buckets]]\nbinding = "FILES"\nbucket_name = "warm"\n'
ENDPOINT = 'endpoint = "https://s3.example"\n'
KEYS = {"ROOKERY_FILES_ACCESS_KEY_ID": "files-id", "ROOKERY_FILES_SECRET_ACCESS_KEY": "files-secret"}
ARCHIVE_KEYS = {"ROOKERY_ARCHIVE_ACCESS_KEY_ID": "cold-id", "ROOKERY_ARCHIVE_SECRET_ACCESS_KEY": "cold-secret"}


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = folder / "rookery.toml"
    path.write_text(text)
    return load(path, environ=environ or {})


def test_without_a_binding_files_are_in_a_folder(tmp_path: Path) -> None:
    """Settings that name an archive alone, or nothing, have the folder of the defaults."""
    for text in ("", ARCHIVE):
        bucket = read(tmp_path, text).files
        assert (bucket.bucket_name, bucket.endpoint, bucket.access_key_id) == ("files", None, None)
    assert read(tmp_path, FILES + ARCHIVE).files.bucket_name == "warm"


def test_each_bucket_has_its_own_keys(tmp_path: Path) -> None:
    """Keys are read for the bucket that has an endpoint, and are missed by their own names."""
    settings = read(tmp_path, ARCHIVE + ENDPOINT + FILES + ENDPOINT, KEYS | ARCHIVE_KEYS)
    told = [
        (bucket.access_key_id and bucket.access_key_id.get_secret_value())
        for bucket in (settings.archive, settings.files)
    ]
    assert told == ["cold-id", "files-id"]
    files = read(tmp_path, ARCHIVE + FILES + ENDPOINT, KEYS)
    assert files.files.secret_access_key is not None
    assert files.files.secret_access_key.get_secret_value() == "files-secret"
    assert files.archive.access_key_id is None
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, ARCHIVE + FILES + ENDPOINT, ARCHIVE_KEYS)
    assert [problem.key for problem in caught.value.problems] == [*KEYS]


def test_a_key_in_the_file_is_refused_by_its_own_name(tmp_path: Path) -> None:
    """A key that stands in the table of the files is told the variable of the files, and is not shown."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, ARCHIVE + FILES + 'secret_access_key = "hush"\n')
    (problem,) = caught.value.problems
    assert "ROOKERY_FILES_SECRET_ACCESS_KEY" in problem.expected
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [FILES, ARCHIVE + FILES * 2, ARCHIVE * 2, ARCHIVE + FILES.replace("warm", "cold"), ARCHIVE.replace("ARCHIVE", "X")],
)
def test_each_binding_is_once_and_its_own(tmp_path: Path, text: str) -> None:
    """There is one archive, one bucket of files at most, and never one bucket for both."""
    with pytest.raises(SettingsError):
        read(tmp_path, text)


def test_unknown_variables_of_files_are_refused(tmp_path: Path) -> None:
    """A variable that looks like a key and is none is told, as for the archive."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, "", {"ROOKERY_FILES_SECRET_KEY": "x"})
    assert [problem.key for problem in caught.value.problems] == ["ROOKERY_FILES_SECRET_KEY"]
