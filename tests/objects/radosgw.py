"""A real S3 server for tests: Ceph's radosgw over a monitor and a storage daemon that keeps everything in memory.

Import the fixture into a conftest.py: `from tests.objects.radosgw import radosgw`. It listens on loopback only, is up
in one or two seconds, and is gone with the process that started it, however that ends.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "setpriv")
STEP_SECONDS_MAX = 60
USER = "rookery"
ACCESS_KEY_ID = "rookeryaccess"
SECRET_ACCESS_KEY = "rookerysecret"
REGION = "default"

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}
public addr = 127.0.0.1
ms bind msgr1 = false
auth cluster required = none
auth service required = none
auth client required = none
# Without this radosgw insists on an encrypted connection, which cannot be had without authentication, for 30 seconds.
ms mon client mode = crc
mon client hunt interval = 0.2
objecter tick interval = 0.2
# The defaults wait for half a second or more before every change of the map.
paxos propose interval = 0.02
paxos min wait = 0.01
mon data avail crit = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
osd class load list = *
osd class default list = *
memstore device bytes = 2G
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}
run dir = {folder}
keyring = {folder}/keyring
log file = {folder}/$name.log
mon cluster log file = {folder}/cluster.log
debug rocksdb = 0
admin socket =
pid file =
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable apis = s3
rgw thread pool size = 32
rgw num control oids = 1
rgw rados pool pg num min = 1
"""


@dataclass(frozen=True, slots=True)
class Radosgw:
    """A running server, and the keys of the one user that it has."""

    folder: Path
    endpoint: str
    client: Any
    """A plain boto3 client, for what a test does behind the store's back."""
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = SECRET_ACCESS_KEY
    region: str = REGION

    def make_bucket(self) -> str:
        """Make an empty bucket of a new name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name

    def limit_bucket(self, name: str, *, objects_max: int) -> None:
        """Give a bucket a quota."""
        quota = ("quota", "--bucket", name, "--uid", USER)
        admin = ("radosgw-admin", "-c", str(self.folder / "ceph.conf"))
        _run(self.folder, *admin, quota[0], "set", "--max-objects", str(objects_max), *quota[1:])
        _run(self.folder, *admin, quota[0], "enable", *quota[1:])


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radosgw]:
    """Run a server for the session; where it is not installed, skip aloud, or fail where CI promises it."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        reason = (
            f"THE S3 STORE IS NOT TESTED HERE: {', '.join(missing)} missing. On Debian: "
            "apt-get install --no-install-recommends ceph-mon ceph-osd radosgw"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("radosgw")) as server:
        yield server


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Radosgw]:
    """Start a server in an empty folder, and stop it, also after a failed start."""
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    mon_port, port = _free_ports(2)
    configuration = folder / "ceph.conf"
    configuration.write_text(CONFIGURATION.format(fsid=fsid, folder=folder, mon_port=mon_port, port=port))
    (folder / "osd").mkdir()
    common = ("-c", str(configuration))
    monmap = str(folder / "monmap")
    with contextlib.ExitStack() as daemons:
        _run(folder, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon_port}]", monmap)
        _run(folder, "ceph-mon", *common, "--mkfs", "-i", "a", "--monmap", monmap)
        monitor = daemons.enter_context(_daemon(folder, "ceph-mon", *common, "-f", "-i", "a"))
        _wait_for(monitor, mon_port, folder)
        _run(folder, "ceph-osd", *common, "-i", "0", "--mkfs", "--osd-uuid", osd)
        _run(folder, "ceph", *common, "osd", "new", osd, "0")
        daemons.enter_context(_daemon(folder, "ceph-osd", *common, "-f", "-i", "0"))
        keys = ("--access-key", ACCESS_KEY_ID, "--secret-key", SECRET_ACCESS_KEY)
        _run(folder, "radosgw-admin", *common, "user", "create", "--uid", USER, "--display-name", "Rookery", *keys)
        gateway = daemons.enter_context(_daemon(folder, "radosgw", *common, "-f", "-n", "client.rgw"))
        _wait_for(gateway, port, folder)
        client = daemons.enter_context(contextlib.closing(_client(f"http://127.0.0.1:{port}")))
        yield Radosgw(folder, f"http://127.0.0.1:{port}", client)


def _client(endpoint: str) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _bound(*command: str) -> list[str]:
    """Return a command that the kernel kills when this process ends, even by SIGKILL."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


def _run(folder: Path, *command: str) -> None:
    """Run a step of the start to its end; it fails with what the step said."""
    with (folder / "steps.out").open("ab") as output:
        done = subprocess.run(_bound(*command), stdout=output, stderr=output, timeout=STEP_SECONDS_MAX)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {_last_words(folder)}"


@contextlib.contextmanager
def _daemon(folder: Path, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a daemon, and kill it afterwards: nothing that it keeps is wanted."""
    with (folder / f"{command[0]}.out").open("ab") as output:
        process = subprocess.Popen(_bound(*command), stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(daemon: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + STEP_SECONDS_MAX
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert daemon.poll() is None, f"{daemon.args!r} ended: {_last_words(folder)}"
        assert time.monotonic() < deadline, f"{daemon.args!r} does not listen: {_last_words(folder)}"
        time.sleep(0.02)


def _last_words(folder: Path) -> str:
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1_000:]}" for path in folder.glob("*.out"))
