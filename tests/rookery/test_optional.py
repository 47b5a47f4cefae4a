"""A server loads what its settings switch on, and nothing of what they do not."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.rookery.terminal import SECONDS_MAX, environment

SERVE = """
import os, socket, sys
from pathlib import Path

import orjson
import rookery.cli
from config import settings
from rookery.server.application import Application
from rookery.server.uvicorn_server import Server, configure

def ready():
    print(orjson.dumps([name for name in sys.argv[2:] if name in sys.modules]).decode())
    server.should_exit = True

chosen = settings.load(Path(sys.argv[1]), environ=os.environ)
server = Server(configure(chosen, Application(chosen, ready=ready)))
with socket.create_server(("127.0.0.1", 0)) as listening:
    server.run(sockets=[listening])
"""
"""Starts a server, prints which of the given modules are loaded once it is ready, and ends."""

MEASURE = """
import asyncio, sys

import orjson

from rookery import optional

before = "PIL" in sys.modules
size = asyncio.run(optional.inspect_image(bytes((255, 216, 255))))
print(orjson.dumps([before, size, "PIL" in sys.modules]).decode())
"""
"""Inspects what begins as an image and is none; prints whether Pillow was loaded before, the answer, and then again."""

BUCKETS = """
[[r2_buckets]]
binding = "FILES"
bucket_name = "files"
endpoint = "http://127.0.0.1:9"
[[r2_buckets]]
binding = "ARCHIVE"
bucket_name = "archive"
"""
KEYS = {"ROOKERY_FILES_ACCESS_KEY_ID": "key", "ROOKERY_FILES_SECRET_ACCESS_KEY": "secret"}


def loaded(folder: Path, settings: str, *names: str) -> set[str]:
    """Return which modules a server with these settings has loaded when it is ready."""
    path = folder / "rookery.toml"
    path.write_text(f'[server]\ndata_dir = "data"\n{settings}', encoding="utf-8")
    command = [sys.executable, "-c", SERVE, str(path), *names]
    given = environment(**(KEYS if settings else {}))
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stderr.decode()
    return set(orjson.loads(done.stdout))


@pytest.mark.parametrize(
    ("settings", "expected"), [("", set()), (BUCKETS, {"boto3", "botocore"})], ids=["folders", "S3"]
)
def test_a_server_loads_the_s3_client_only_for_a_bucket(tmp_path: Path, settings: str, expected: set[str]) -> None:
    """With the default settings a server that is ready has not loaded boto3, and with an S3 bucket it has."""
    assert loaded(tmp_path, settings, "boto3", "botocore", "objects.disk") == expected | {"objects.disk"}


def test_the_first_image_loads_pillow(tmp_path: Path) -> None:
    """A server that is ready has not loaded Pillow, and measuring an image loads it."""
    assert loaded(tmp_path, "", "PIL", "media.images") == set()
    done = subprocess.run([sys.executable, "-c", MEASURE], env=environment(), capture_output=True, timeout=SECONDS_MAX)
    assert orjson.loads(done.stdout) == [False, None, True], done.stderr.decode()
