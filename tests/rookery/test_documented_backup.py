"""The backup of the operators' page: run as it stands there beside a working server, and its copy is served."""

import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.rookery.terminal import environment, serving

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def script(target: Path) -> str:
    """Return the documented script, with this Python and another target."""
    section = PAGE.read_text().split("\n## Backup\n")[1]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    folder = Path(sys.executable).parent
    return block[1].replace(".venv/bin/", f"{folder}/").replace("/tmp/rookery-backup", str(target))


def test_the_documented_backup_has_everything_of_a_running_server(tmp_path: Path) -> None:
    """Messages that are still in the logs of their files are in the backup, and a drill over it shows them."""
    target = tmp_path / "backup"
    with serving(tmp_path / "data", cwd=tmp_path) as server, httpx.Client(base_url=server.url) as client:
        token = client.post("/v1/auth/anonymous", json={}).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        made = client.post("/v1/rooms", json={"name": "nest"}).json()
        path = f"/v1/rooms/{made['room']['id']}/channels/{made['channels'][0]['id']}/messages"
        client.post(path, json={"content": "kept"}).raise_for_status()
        done = subprocess.run(
            ["sh", "-e"],
            cwd=tmp_path,
            input=script(target),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "2 of 2 files copied" in done.stdout) == (0, True), done.stdout + done.stderr
    with serving(target, "--drill", cwd=tmp_path) as server:
        assert server.told["is_drill"]
        read = httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()
    assert [message["content"] for message in read["messages"]] == ["kept"]
    assert {file.stat().st_mode & 0o777 for file in target.rglob("*.db")} == {0o600}
