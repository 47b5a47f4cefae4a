"""What all commands share: help that teaches, exit codes, JSON errors, settings, and no tracebacks or secrets."""

from pathlib import Path

import pytest

from rookery import VERSION
from tests.rookery.terminal import invoke, run

COMMANDS = (
    ("serve",),
    ("init",),
    ("import",),
    ("doctor",),
    *(("migrate", name) for name in ("create", "list", "apply")),
    *(("user", name) for name in ("create", "password", "promote", "demote", "suspend", "reinstate", "list", "show")),
    *(("room", name) for name in ("list", "show")),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """--help has an example of this very command, and --json for scripts."""
    shown = invoke(*command, "--help")
    assert shown.code == 0
    words = " ".join(shown.out.split())
    assert "Example: rookery" in words
    assert " ".join(command) in words.partition("Example: rookery")[2]
    assert "--json" in words


def test_the_version_is_told(tmp_path: Path) -> None:
    """--version prints the version of this release."""
    assert run("--version", cwd=tmp_path).out == f"rookery {VERSION}\n"


def test_a_mistyped_command_line_has_exit_code_two(tmp_path: Path) -> None:
    """Usage errors are JSON for scripts and words for people, and nothing happens."""
    for words in (("user", "creat"), ("serve", "--port", "99999"), ("import", "x.jsonl")):
        told = run(*words, "--json", cwd=tmp_path)
        assert (told.code, list(told.json), told.err) == (2, ["error"], "")
        shown = run(*words, cwd=tmp_path)
        assert (shown.code, shown.out) == (2, "")
        assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_used_have_exit_code_two(tmp_path: Path) -> None:
    """Every mistake in the settings file is told with its line, whichever command reads it."""
    file = tmp_path / "mine.toml"
    file.write_text("[server]\nport = 8787\nprot = 1\n[limits]\npage_size_max = 0\n")
    for words in (("doctor",), ("serve",), ("room", "list")):
        told = invoke("--config", file, *words)
        assert (told.code, told.out) == (2, "")
        assert "server.prot (line 3)" in told.err
        assert "limits.page_size_max (line 5)" in told.err
    assert list(invoke("--config", file, "doctor", "--json").json) == ["error"]


def test_settings_come_from_the_current_folder_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """./rookery.toml is read when it is there, --config and --env choose others, and --data replaces the folder."""
    monkeypatch.chdir(tmp_path)
    Path("rookery.toml").write_text('[server]\ndata_dir = "here"\n[env.other.server]\ndata_dir = "there"\n')
    Path("named.toml").write_text('[server]\ndata_dir = "elsewhere"\n')

    def folder(*words: str) -> str:
        return Path(invoke(*words, "doctor", "--json").json["data"]).name

    assert folder() == "here"
    assert folder("--config", "named.toml") == "elsewhere"
    assert folder("--data", "mine") == "mine"
    assert folder("--env", "other") == "there"
    assert invoke("--env", "none", "doctor").code == 2


def test_what_a_person_wrote_cannot_command_the_terminal(tmp_path: Path) -> None:
    """Escape sequences in names are shown as what they are not: nothing."""
    words = ("--data", tmp_path, "user", "create", "mallory", "--display-name", "\x1b[2Jred", "--password-stdin")
    assert invoke(*words, stdin="correct horse\n").code == 0
    shown = invoke("--data", tmp_path, "user", "list")
    assert "mallory" in shown.out
    assert "\x1b[2J" not in shown.out


def test_a_command_without_data_says_how_to_begin(tmp_path: Path) -> None:
    """Looking at a folder without data is an error with a remedy, and makes no folder."""
    for words in (("user", "list"), ("user", "promote", "ada"), ("room", "list"), ("room", "show", "lean")):
        told = invoke("--data", tmp_path / "typo", *words)
        assert told.code == 1
        assert "rookery --data" in told.err
    assert list(tmp_path.iterdir()) == []
