"""`rookery init`: a settings file to edit and a private folder."""

from pathlib import Path

from config import settings as config
from tests.rookery.terminal import invoke


def test_an_installation_begins_with_the_documented_defaults(tmp_path: Path) -> None:
    """The file is a copy of the defaults and loads as they are; the data folder is for its owner alone."""
    home = tmp_path / "a" / "b"
    made = invoke("init", home, "--json")
    assert made.code == 0
    assert made.json == {"settings": str(home / "rookery.toml"), "data": str(home / "data")}
    assert (home / "rookery.toml").read_text() == config.DEFAULTS_PATH.read_text()
    assert (home / "data").stat().st_mode & 0o777 == 0o700
    assert "rookery serve" in invoke("init", tmp_path / "c").out


def test_a_settings_file_is_never_overwritten(tmp_path: Path) -> None:
    """A second init in the same folder is refused and leaves the file as it is."""
    file = tmp_path / "rookery.toml"
    file.write_text("# mine\n")
    refused = invoke("init", tmp_path)
    assert (refused.code, refused.out) == (1, "")
    assert str(file) in refused.err
    assert file.read_text() == "# mine\n"
    assert [*tmp_path.iterdir()] == [file]
