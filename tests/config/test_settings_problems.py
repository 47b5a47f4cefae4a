"""Everything wrong with settings is told at once: where it stands, what is there, what would be right."""

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from config.errors import Problem, SettingsError
from config.settings import DEFAULTS_PATH, Settings, load


def problems(folder: Path, text: str, environ: dict[str, str] | None = None, env: str | None = None) -> list[Problem]:
    """Return the problems of a file with this text; an acceptable one has none."""
    path = folder / "rookery.toml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        load(path, environment=env, environ=environ or {})
    except SettingsError as error:
        return list(error.problems)
    return []


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Bad values and unknown keys of every table, of the environment and of the variables come in one error."""
    text = """\
name = "Not A Name"
compatibility_date = "2026-02-30"
[server]
port = 99999
regsitration = "closed"
allowed_origins = ["https://a.example", "*"]
[vars]
when = 2026-01-01
[[d1_databases]]
binding = "DIRECTORY"
database_name = "directory"
[[d1_databases]]
binding = "SHARDS"
database_name = "shards"
size_limit_bytes = 1.5
[limits]
rates.user = { per_second = 0, burst = 1 }
[triggers]
crons = ["61 * * * *"]
"""
    found = problems(tmp_path, text, {"ROOKERY_SERVER_SESSION_DAYS": "week", "ROOKERY_SERVER_PROT": "1"})
    assert {problem.key: problem.line for problem in found} == {
        "name": 1,
        "compatibility_date": 2,
        "server.port": 4,
        "server.regsitration": 5,
        "server.allowed_origins[1]": 6,
        "vars.when": 8,
        "d1_databases[1].size_limit_bytes": 15,
        "limits.rates.user.per_second": 17,
        "triggers.crons[0]": 19,
        "ROOKERY_SERVER_SESSION_DAYS": None,
        "ROOKERY_SERVER_PROT": None,
    }
    assert problems(tmp_path, "") == []


def test_message_has_one_line_for_each_problem(tmp_path: Path) -> None:
    """The message names the file and then, line by line, key, place, finding and remedy."""
    path = tmp_path / "rookery.toml"
    path.write_text('[server]\nport = 70_000\nhost = "a\\nb"\n"odd\\nkey" = 1\n')
    with pytest.raises(SettingsError) as caught:
        load(path, environ={})
    host = 'an address or a host name without scheme and port, such as "127.0.0.1"'
    known = ", ".join(Settings().server.model_dump())
    assert str(caught.value).splitlines() == [
        f"{path}: 3 problems to correct",
        f'  server.host (line 3): found "a\\nb"; expected {host}',
        "  server.port (line 2): found 70000; expected a whole number from 0 to 65535",
        f'  server."odd\\nkey" (line 1): found an unknown key; expected one of {known}',
    ]
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("[server]\nprot = 1", "server.prot", "port (the nearest known key)"),
        ("[limits]\nMessage_Length = 1", "limits.Message_Length", "message_length_max (the nearest known key)"),
        ("[limits.rates.adress]\nburst = 1", "limits.rates.adress", "address (the nearest known key)"),
        ("[envs.staging]", "envs", "env (the nearest known key)"),
        ("[env.staging.sevrer]", "env.staging.sevrer", "server (the nearest known key)"),
        ("[env.staging.env.deeper]", "env.staging.env", "one of name, compatibility_date, vars"),
        ("[triggers]\nzzz = 1", "triggers.zzz", "one of crons"),
    ],
)
def test_unknown_key_suggests_the_nearest(tmp_path: Path, text: str, key: str, expected: str) -> None:
    """A key that is not known is refused, with the key that was probably meant or else all there are."""
    (problem,) = problems(tmp_path, text)
    assert (problem.key, problem.found) == (key, "an unknown key")
    assert problem.expected.startswith(expected)


def test_unknown_keys_never_offer_the_secrets(tmp_path: Path) -> None:
    """The list of known keys of a bucket does not invite anyone to write the archive's keys into the file."""
    (problem,) = problems(tmp_path, '[[r2_buckets]]\nbinding = "ARCHIVE"\nbucket_name = "abc"\nzzz = 1')
    assert problem.expected == "one of binding, bucket_name, endpoint, region"


DIRECTORY = '[[d1_databases]]\nbinding = "DIRECTORY"\ndatabase_name = "directory"\n'
SHARDS = '[[d1_databases]]\nbinding = "SHARDS"\ndatabase_name = "shards"\n'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DIRECTORY, "DIRECTORY"),
        (DIRECTORY + SHARDS + SHARDS, "DIRECTORY, SHARDS, SHARDS"),
        ("d1_databases = []", "no binding (an environment inherits none)"),
    ],
)
def test_both_databases_are_bound_once(tmp_path: Path, text: str, found: str) -> None:
    """DIRECTORY and SHARDS are there exactly once, in any order."""
    assert [(each.key, each.found, each.line) for each in problems(tmp_path, text)] == [("d1_databases", found, 1)]
    assert problems(tmp_path, SHARDS + DIRECTORY) == []


def test_archive_is_bound_once(tmp_path: Path) -> None:
    """There is one ARCHIVE, no more and no less."""
    bucket = '[[r2_buckets]]\nbinding = "ARCHIVE"\nbucket_name = "abc"\n'
    assert problems(tmp_path, bucket) == []
    assert [each.key for each in problems(tmp_path, bucket * 2)] == ["r2_buckets"]
    assert [each.key for each in problems(tmp_path, "r2_buckets = []")] == ["r2_buckets"]


@pytest.mark.parametrize(
    ("percents", "key"),
    [
        ("warn_percent = 94", None),
        ("warn_percent = 95", "critical_percent"),
        ("warn_percent = 99\ncritical_percent = 100", None),
        ("warn_percent = 60\ncritical_percent = 60", "critical_percent"),
        ("critical_percent = 101", "critical_percent"),
        ("warn_percent = 0", "warn_percent"),
    ],
)
def test_critical_lies_above_warn(tmp_path: Path, percents: str, key: str | None) -> None:
    """warn < critical <= 100, whichever of the two is at its default."""
    found = [each.key for each in problems(tmp_path, SHARDS + percents + "\n" + DIRECTORY)]
    assert found == ([f"d1_databases[0].{key}"] if key else [])


@pytest.mark.parametrize("text", ["server = 3", "limits = []", "vars = 1", "d1_databases = 1", "env = 3", "env.a = 3"])
def test_wrong_shapes_are_problems(tmp_path: Path, text: str) -> None:
    """A value where a table belongs is a problem like any other, and so it is with variables set."""
    (problem,) = problems(tmp_path, text, {"ROOKERY_SERVER_PORT": "1"})
    assert problem.key == text.partition(" = ")[0]
    assert "table" in problem.expected or "array" in problem.expected


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('name = "a"\nport = = 1\n', 2, 8),
        ('[server]\nname = "open', 2, 13),
        ("[server]\n[server]\n", 2, 8),
        ("a = " + "9" * 5000, 1, None),
        ("a = " + "[" * 5000, 1, None),
    ],
)
def test_syntax_errors_name_line_and_column(tmp_path: Path, text: str, line: int, column: int | None) -> None:
    """A file that is not TOML is refused with the place where it stops being so."""
    (problem,) = problems(tmp_path, text)
    assert (problem.key, problem.line) == ("rookery.toml", line)
    assert problem.found.startswith("at column" if column is None else f"at column {column}: ")


def test_unreadable_files_come_with_a_remedy(tmp_path: Path) -> None:
    """A missing file, a folder, bytes that are no text and a huge file are each refused in words."""
    (tmp_path / "latin.toml").write_bytes('# ok\nname = "é"'.encode("latin-1"))
    (tmp_path / "huge.toml").write_bytes(b"#" * 2_000_000)
    said = {}
    for name in ("missing.toml", ".", "latin.toml", "huge.toml"):
        with pytest.raises(SettingsError) as caught:
            load(tmp_path / name, environ={})
        (said[name],) = caught.value.problems
    assert said["missing.toml"].found == "no such file or directory"
    assert "check the path" in said["missing.toml"].expected
    assert said["."].found == "is a directory"
    assert (said["latin.toml"].found, said["latin.toml"].line) == ("bytes that are not UTF-8", 2)
    assert said["huge.toml"].found == "more than a megabyte"


def test_windows_editors_are_welcome(tmp_path: Path) -> None:
    """A byte order mark and CRLF line ends change nothing."""
    assert problems(tmp_path, "\ufeff[server]\r\nport = 1\r\n") == []
    assert problems(tmp_path, "\ufeff[server]\r\nport = -1\r\n")[0].line == 2


def test_lines_survive_strings_that_look_like_keys(tmp_path: Path) -> None:
    """Keys inside strings, dotted keys, quoted keys and arrays over several lines do not lead astray."""
    text = '''[vars]
text = """
port = 1
[server]
"""
"a.b" = 2026-01-01
[server] # here
"port" = -1
allowed_origins = [
  "a=b",
]
[limits]
rates.user.burst = 0
rates.user.per_second = 1
'''
    found = {problem.key: problem.line for problem in problems(tmp_path, text)}
    assert found == {
        'vars."a.b"': 6,
        "server.port": 8,
        "server.allowed_origins[0]": 9,
        "limits.rates.user.burst": 13,
    }


def test_long_values_are_cut(tmp_path: Path) -> None:
    """However long a bad value is, its problem stays readable."""
    (problem,) = problems(tmp_path, f'[server]\nhost = "{"x" * 5000}"')
    assert len(problem.found) < 80


LINES = DEFAULTS_PATH.read_text(encoding="utf-8").splitlines(keepends=True)


@profile(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_file_is_either_settings_or_problems(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is done to the lines of a file, the answer is settings or problems of one line each."""
    odd = st.sampled_from(
        ["[env.a]\n", "[server]\n", "port = 1\n", "[[d1_databases]]\n", "x = {}\n", '"\\u0001" = 1\n']
    )
    picked = data.draw(st.lists(st.sampled_from(LINES) | odd | st.text(max_size=12), max_size=40))
    environ = data.draw(st.dictionaries(st.sampled_from(["ROOKERY_SERVER_PORT", "ROOKERY_SERVER_X"]), st.text()))
    path = tmp_path / "any.toml"
    path.write_bytes("".join(picked).encode("utf-8", "replace"))
    try:
        load(path, environ=environ)
        return
    except SettingsError as error:
        message, found = str(error), error.problems
    assert found
    assert len(message.split("\n")) == len(found) + 1
    assert all(re.fullmatch(r".+: found .+; expected .+", str(problem)) for problem in found)
