"""kill -9 between any two steps of a file's life: what was answered stands, and the next step goes on from it."""

from pathlib import Path

import pytest

from tests.router.clients import client_of
from tests.router.serving import Place, process
from tests.router.uploads import PNG, announced, put


@pytest.mark.crash
def test_a_file_survives_every_kill(tmp_path: Path) -> None:
    """An announced, sent, complete or attached file is as far as it was after a kill, and can be read in the end."""
    with process(Place(tmp_path)) as server, client_of(server.running) as nobody:

        def again() -> None:
            server.kill()
            server.start()

        anna = nobody.guest()
        room = anna.found()
        unwanted, asked = (anna.post(f"{room.general}/attachments", announced()) for _ in range(2))
        again()
        # What was announced counts until it is cancelled, and addresses outlive the process that signed them.
        assert anna.get("/v1/users/me/storage")["used_bytes"] == 2 * len(PNG)
        anna.did("DELETE", f"{room.general}/attachments/{unwanted['attachment']['id']}")
        path = f"{room.general}/attachments/{asked['attachment']['id']}"
        assert put(anna, asked, PNG).status_code == 204
        again()
        assert anna.post(f"{path}/complete")["width"] == 3
        again()
        sent = anna.post(f"{room.general}/messages", {"attachment_ids": [asked["attachment"]["id"]]})
        again()
        assert anna.get(f"{room.general}/messages/{sent['id']}") == sent
        assert anna.ask("GET", sent["attachments"][0]["url"]).content == PNG
        anna.did("DELETE", f"{room.general}/messages/{sent['id']}")
        again()
        assert anna.refused("GET", sent["attachments"][0]["url"]).status == 404
