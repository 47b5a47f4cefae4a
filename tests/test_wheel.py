"""The wheel has everything that a server needs: installed where nothing else of ours is, it serves."""

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from tests.house_imports import SHIPPED
from tests.rookery.terminal import READY_SECONDS_MAX, SECONDS_MAX, environment

PROJECT = Path(__file__).parent.parent
UNSHIPPED = {"tests", "bench"}


def shipped() -> Iterator[Path]:
    """Yield every file of every module and package at the top of the project, but for what only developers run."""
    for top in PROJECT.iterdir():
        if top.suffix == ".py":
            yield top.relative_to(PROJECT)
        elif top.name in SHIPPED or ((top / "__init__.py").is_file() and top.name not in UNSHIPPED):
            yield from (
                path.relative_to(PROJECT)
                for path in top.rglob("*")
                if path.is_file() and not path.name.startswith(".") and "__pycache__" not in path.parts
            )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stderr.decode()
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with the wheel and what it depends on, and return its folder.

    The dependencies are those of this environment. A path in a .pth file brings the packages of a folder, and not the
    .pth files in it, so the editable installation of the project is not among them.
    """
    root = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True, timeout=SECONDS_MAX)
    pip = [sys.executable, "-m", "pip", "--python", str(root / "bin" / "python")]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", wheel], check=True, timeout=SECONDS_MAX)
    (packages,) = root.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return root


def test_the_wheel_has_every_file_that_ships(wheel: Path) -> None:
    """Modules, SQL, settings and pages of every package are in the wheel, and nothing else is."""
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if ".dist-info/" not in name}
    assert packed == {path.as_posix() for path in shipped()}
    assert {"router/docs.html", "config/rookery.toml", "migrations/shard/0001_room.sql", "sqlite.py"} <= packed


def test_an_installed_wheel_serves(bare: Path, tmp_path: Path) -> None:
    """In an empty folder the installed command makes its data and answers, out of the wheel's files alone."""
    given = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    tops = sorted({path.parts[0].removesuffix(".py") for path in shipped()})
    script = f"import {', '.join(tops)}\nfor top in ({', '.join(tops)}): print(top.__file__)"
    listed = subprocess.run(
        [str(bare / "bin" / "python"), "-c", script],
        cwd=tmp_path,
        env=given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in listed.stdout.splitlines() if not line.startswith(str(bare))] == []
    command = [str(bare / "bin" / "rookery"), "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, bufsize=0, cwd=tmp_path, env=given, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            told = orjson.loads(server.stdout.readline())
            assert httpx.get(f"{told['url']}/healthz").status_code == 200
            assert httpx.get(told["docs"]).status_code == 200
            server.terminate()
            assert server.wait(READY_SECONDS_MAX) == 0
        finally:
            server.kill()
    assert (tmp_path / "data" / "directory.db").is_file()
