"""Environments inherit as wrangler's do, and variables change [server]."""

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.settings import Settings, load

BINDINGS = """
[[{0}d1_databases]]
binding = "DIRECTORY"
database_name = "{1}-directory"
migrations_dir = "sql"
[[{0}d1_databases]]
binding = "SHARDS"
database_name = "{1}-shards"
[[{0}r2_buckets]]
binding = "ARCHIVE"
bucket_name = "{1}-archive"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with everything at the top level, and an environment that has only its bindings."""
    file = tmp_path / "rookery.toml"
    file.write_text(
        """
name = "owls"
compatibility_date = "2026-12-01"
[vars]
support = "top"
motto = "top"
[server]
port = 1
registration = "closed"
[triggers]
crons = ["1 2 3 4 5"]
[limits]
page_size_max = 7
rates.user = { per_second = 1, burst = 1 }
"""
        + BINDINGS.format("", "top")
        + BINDINGS.format("env.staging.", "staging")
    )
    return file


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_inheritable_keys_come_from_the_top_level(path: Path) -> None:
    """An environment that says nothing of server, limits, triggers and date has the top level's."""
    top, staging = load(path, environ={}), load(path, environment="staging", environ={})
    assert (staging.server, staging.limits, staging.triggers) == (top.server, top.limits, top.triggers)
    assert staging.compatibility_date == top.compatibility_date
    assert staging.server.registration == "closed"


def test_name_carries_the_environment(path: Path) -> None:
    """As wrangler deploys <name>-<environment>, so the inherited name ends in the environment's."""
    assert load(path, environ={}).name == "owls"
    assert load(path, environment="staging", environ={}).name == "owls-staging"
    add(path, '[env.staging]\nname = "barn"')
    assert load(path, environment="staging", environ={}).name == "barn"


def test_default_name_carries_the_environment(tmp_path: Path) -> None:
    """A file without a name gives its environments the default's, with their own behind it."""
    (tmp_path / "rookery.toml").write_text("[env.staging]")
    assert load(tmp_path / "rookery.toml", environment="staging", environ={}).name == "rookery-staging"


def test_inheritable_tables_are_replaced_whole(path: Path) -> None:
    """A table in the environment takes nothing from the top level's: what it leaves out is at its default."""
    add(path, "[env.staging.server]\nport = 2\n[env.staging.limits]\nmessage_length_max = 5\n")
    staging = load(path, environment="staging", environ={})
    assert (staging.server.port, staging.server.registration) == (2, "open")
    assert (staging.limits.message_length_max, staging.limits.page_size_max) == (5, 100)
    assert staging.limits.rates == Settings().limits.rates
    assert staging.triggers.crons == ("1 2 3 4 5",)
    assert load(path, environ={}).server.port == 1


def test_vars_are_not_inherited(path: Path) -> None:
    """An environment has its own vars or none."""
    assert load(path, environ={}).vars == {"support": "top", "motto": "top"}
    assert load(path, environment="staging", environ={}).vars == {}
    add(path, '[env.staging.vars]\nsupport = "own"')
    assert load(path, environment="staging", environ={}).vars == {"support": "own"}


def test_bindings_are_the_environments_own(path: Path) -> None:
    """Databases and buckets come from the environment alone."""
    staging = load(path, environment="staging", environ={})
    assert (staging.directory.database_name, staging.shards.database_name) == ("staging-directory", "staging-shards")
    assert staging.archive.bucket_name == "staging-archive"
    assert load(path, environ={}).archive.bucket_name == "top-archive"


def test_missing_bindings_are_refused(path: Path) -> None:
    """An environment without the bindings that the top level has is refused, never run on the top level's data."""
    add(path, "[env.empty]\n")
    with pytest.raises(SettingsError) as caught:
        load(path, environment="empty", environ={})
    assert [problem.key for problem in caught.value.problems] == ["env.empty.d1_databases", "env.empty.r2_buckets"]
    assert all("an environment inherits none" in problem.found for problem in caught.value.problems)


def test_bindings_that_nobody_wrote_are_the_defaults(tmp_path: Path) -> None:
    """Where the top level has no bindings either, the environment has the defaults, as the top level has."""
    file = tmp_path / "rookery.toml"
    file.write_text("[env.staging.server]\nport = 2")
    assert load(file, environment="staging", environ={}).shards == Settings().shards


def test_what_stays_behind_is_noticed(path: Path) -> None:
    """The settings say which keys of the top level the chosen environment does without; others say nothing."""
    add(path, '[env.staging.vars]\nsupport = "own"\n[env.staging.server]\nport = 2\n[env.staging.limits]\n')
    behind = "so these stay behind at the top level"
    limits = "limits.page_size_max, limits.rates.user.per_second, limits.rates.user.burst"
    assert load(path, environment="staging", environ={}).notices == (
        f"env.staging: vars are not inherited, {behind}: vars.motto",
        f"env.staging: server here replaces the whole [server], {behind}: server.registration",
        f"env.staging: limits here replaces the whole [limits], {behind}: {limits}",
    )
    assert load(path, environ={}).notices == ()


def test_unknown_environment_lists_the_known(path: Path) -> None:
    """Asking for an environment that is not there names those that are."""
    with pytest.raises(SettingsError, match=r"env\.stagin: found no such environment; .* environments: staging"):
        load(path, environment="stagin", environ={})
    with pytest.raises(SettingsError, match="the file has none"):
        load(None, environment="staging", environ={})


@pytest.mark.parametrize("environment", [None, "staging"])
def test_every_environment_is_checked(path: Path, environment: str | None) -> None:
    """A mistake in an environment is told by its path, whichever environment is asked for, and once."""
    add(path, "[env.staging.server]\nport = -1\n[env.Loud]\n" + BINDINGS.format("env.Loud.", "loud"))
    with pytest.raises(SettingsError) as caught:
        load(path, environment=environment, environ={})
    found = {(problem.key, problem.found) for problem in caught.value.problems}
    assert found == {("env.staging.server.port", "-1"), ("env.Loud.name", '"owls-Loud"')}
    assert len(caught.value.problems) == 2


def test_top_level_is_checked_too(path: Path) -> None:
    """A mistake at the top level is told even when the chosen environment does not inherit it."""
    path.write_text(path.read_text().replace('bucket_name = "top-archive"', 'bucket_name = "x"'))
    with pytest.raises(SettingsError) as caught:
        load(path, environment="staging", environ={})
    assert [problem.key for problem in caught.value.problems] == ["r2_buckets[0].bucket_name"]


def test_inherited_mistakes_are_told_once(path: Path) -> None:
    """A mistake at the top level is not repeated for each environment that inherits it."""
    path.write_text(path.read_text().replace("port = 1", "port = -1"))
    with pytest.raises(SettingsError) as caught:
        load(path, environment="staging", environ={})
    assert [problem.key for problem in caught.value.problems] == ["server.port"]


def test_variables_win_over_file_and_environment(path: Path) -> None:
    """ROOKERY_SERVER_* replaces a key of [server], in the environment too, and leaves the others."""
    add(path, '[env.staging.server]\nport = 2\nlog_level = "debug"\n')
    environ = {
        "ROOKERY_SERVER_PORT": "3",
        "ROOKERY_SERVER_HOST": "0.0.0.0",
        "ROOKERY_SERVER_DATA_DIR": "/srv/rookery",
        "ROOKERY_SERVER_ALLOWED_ORIGINS": "https://a.example, https://b.example",
        "ROOKERY_SERVER_TRUSTED_PROXIES": "",
        "ROOKERY_SERVER_PUBLIC_URL": "",
        "ROOKERY": "x",
        "PATH": "x",
    }
    for environment, level in ((None, "info"), ("staging", "debug")):
        server = load(path, environment=environment, environ=environ).server
        assert (server.port, server.host, server.data_dir) == (3, "0.0.0.0", Path("/srv/rookery"))
        assert server.allowed_origins == ("https://a.example", "https://b.example")
        assert (server.trusted_proxies, server.public_url, server.log_level) == ((), None, level)
    assert load(None, environ=environ).server.port == 3


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("PORT", "80x", '"80x"'),
        ("PORT", "70000", "70000"),
        ("PORT", "", '""'),
        ("PORT", "٣", '"٣"'),
        ("LOG_LEVEL", "loud", '"loud"'),
        ("ALLOWED_ORIGINS", "https://a.example,*", '"*"'),
        ("PUBLIC_URL", "https://me:hunter2@a.example", '"https://…@a.example"'),
        ("PROT", "1", "an unknown variable"),
        ("LIMITS_PAGE_SIZE_MAX", "1", "an unknown variable"),
    ],
)
def test_bad_variables_are_problems_by_their_name(path: Path, name: str, value: str, found: str) -> None:
    """A variable that cannot be used is told by its own name, beside what is wrong in the file."""
    load(path, environ={"ROOKERY_SERVER_PORT": "8080"})
    with pytest.raises(SettingsError) as caught:
        load(path, environ={f"ROOKERY_SERVER_{name}": value})
    (problem,) = caught.value.problems
    assert (problem.key.partition("[")[0], problem.found, problem.line) == (f"ROOKERY_SERVER_{name}", found, None)


def test_paths_begin_at_the_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are taken from the file's folder, and from the current folder where there is no file."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for file in (path, Path("..") / path.name):
        settings = load(file, environ={})
        assert settings.server.data_dir.is_absolute()
        assert settings.server.data_dir.resolve() == (tmp_path / "data").resolve()
        assert settings.directory.migrations_dir is not None
        assert settings.directory.migrations_dir.resolve() == (tmp_path / "sql").resolve()
    assert load(None, environ={}).server.data_dir == elsewhere / "data"
    assert load(None, environ={}).directory.migrations_dir is None
