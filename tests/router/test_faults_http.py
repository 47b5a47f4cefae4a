"""Faults of the storage as clients meet them: the room concerned says so, and everything else goes on."""

import contextlib
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import sqlite
from tests.router.clients import Client, Room, client_of
from tests.router.disks import small_disk
from tests.router.serving import Place, process, serving, until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, limits={"shard_queue_max": 2, "shard_batch_max": 1})


def put_text(path: Path) -> None:
    path.write_text("this is not a database, and long enough to be mistaken for one\n" * 100)


def damage_pages(path: Path) -> None:
    """Overwrite all pages after the first with noise."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xa5" * (size - 4_096))


def put_foreign_database(path: Path) -> None:
    path.unlink()
    sqlite.create(path, 1).close()


def put_empty_shard(path: Path) -> None:
    path.unlink()
    sqlite.create(path, sqlite.SHARD_APPLICATION_ID).close()


def forget_log(path: Path) -> None:
    """Remove a log that an unclean end left, with all that is only in it."""
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


@pytest.mark.parametrize("break_it", [Path.unlink, put_text, damage_pages, put_foreign_database, put_empty_shard])
def test_a_broken_shard_concerns_its_room_alone(place: Place, break_it: object) -> None:
    """A missing, damaged or foreign file is a 503 with its reason for that room; the others go on, and it heals."""
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        broken, whole = anna.found(), anna.found()
        said = anna.say(broken, "before")
        token = anna.token
    path = place.shards / f"{broken.id}.db"
    kept = path.with_suffix(".kept")
    shutil.copy(path, kept)
    assert callable(break_it)
    break_it(path)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.with_token(token)
        for method, body in (("GET", None), ("POST", {"content": "x"})):
            refusal = anna.refused(method, f"{broken.general}/messages", body)
            assert (refusal.status, refusal.type) == (503, "room-broken")
            assert "its file" in refusal.detail
        assert anna.refused("GET", broken.path).type == "room-broken"
        assert anna.say(whole, "goes on")["content"] == "goes on"
        assert anna.ask("GET", "/v1/rooms").status_code == 200
        assert anna.ask("GET", "/readyz").status_code == 200
    forget_log(path)
    kept.rename(path)
    with serving(place) as server, client_of(server) as nobody:
        assert nobody.with_token(token).get(f"{broken.general}/messages")["messages"] == [said]


def test_another_rooms_file_is_never_served(place: Place) -> None:
    """A shard that belongs to another room is refused under the wrong name, also to a member of both."""
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        first, second = anna.found(), anna.found()
        anna.say(first, "the first room's")
        token = anna.token
    shutil.copy(place.shards / f"{first.id}.db", place.shards / f"{second.id}.db")
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.with_token(token)
        for method, body in (("GET", None), ("POST", {"name": "x"})):
            refusal = anna.refused(method, f"{second.path}/channels", body)
            assert (refusal.status, refusal.type) == (503, "room-broken")
            assert f"belongs to room {first.id}" in refusal.detail
        assert anna.get(f"{first.general}/messages")["messages"][0]["content"] == "the first room's"


@contextlib.contextmanager
def stalled(place: Place, room: Room) -> Iterator[None]:
    """Hold a room's write lock, as another process would."""
    holder = sqlite.connect(place.shards / f"{room.id}.db")
    try:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
    finally:
        holder.close()


def send_in_background(client: Client, room: Room, count: int, statuses: list[int]) -> list[threading.Thread]:
    def send(number: int) -> None:
        body = {"content": f"waiting {number}", "nonce": str(number)}
        statuses.append(client.ask("POST", f"{room.general}/messages", body).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_a_full_queue_is_busy(place: Place) -> None:
    """More writes than may wait for a room are 503 with Retry-After at once; those that wait are done in the end."""
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room, other = anna.found(), anna.found()
        statuses: list[int] = []
        with stalled(place, room):
            threads = send_in_background(anna, room, 8, statuses)
            until(lambda: len(statuses) >= 5)
            assert set(statuses) == {503}
            assert anna.get(f"{room.general}/messages")["messages"] == []
            assert anna.say(other, "goes on")
        for thread in threads:
            thread.join()
        assert sorted(set(statuses)) == [201, 503]
        messages = anna.get(f"{room.general}/messages")["messages"]
        assert len(messages) == statuses.count(201) >= 2


def test_terminating_finishes_what_is_in_flight(place: Place) -> None:
    """At SIGTERM requests that are under way are answered and stored, new ones are not taken, and the exit is clean."""
    with process(place) as served, client_of(served.running) as nobody:
        anna = nobody.guest()
        room = anna.found()
        statuses: list[int] = []
        with stalled(place, room):
            threads = send_in_background(anna, room, 2, statuses)
            until(lambda: "rookery_shard_tasks_waiting 2.0" in anna.ask("GET", "/metrics").text)
            served.terminate()
            assert statuses == []
        for thread in threads:
            thread.join()
        # The server ends by the signal that it was sent, once everything is closed and moved into the databases.
        assert served.wait() == -signal.SIGTERM
        assert statuses == [201, 201]
        assert not list((place.folder / "data").rglob("*-wal"))
        token = anna.token
        served.start()
        with client_of(served.running) as again:
            assert len(again.with_token(token).get(f"{room.general}/messages")["messages"]) == 2


def test_a_full_disk_refuses_writes_and_serves_reads(tmp_path: Path) -> None:
    """Without space writes are 507 and reads go on; nothing that was acknowledged is lost, and space heals it."""
    with small_disk(tmp_path) as folder:
        place = Place(folder)
        with process(place) as served, client_of(served.running) as nobody:
            anna = nobody.guest()
            room = anna.found()
            said = [anna.say(room, "kept")["id"]]
            ballast = folder / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb") as file:
                while True:
                    file.write(b"\0" * 4_096)
                    file.flush()
            refused: set[tuple[int, str]] = set()
            for number in range(300):
                response = anna.ask("POST", f"{room.general}/messages", {"content": f"{number} " + "x" * 2_000})
                if response.status_code == 201:
                    said.append(response.json()["id"])
                else:
                    refused.add((response.status_code, response.json()["type"]))
                    break
            assert refused == {(507, "/docs#problem-storage-full")}
            assert anna.refused("POST", "/v1/rooms", {"name": "no-space"}).status == 507
            assert [row["id"] for row in anna.get(f"{room.general}/messages", limit=100)["messages"]] == said[:-101:-1]
            assert anna.get(f"{room.path}/search", q="kept")["messages"][0]["id"] == said[0]
            ballast.unlink()
            said.append(anna.say(room, "space again")["id"])
            assert anna.post("/v1/rooms", {"name": "no-space"})
            assert [row["id"] for row in anna.get(f"{room.general}/messages", limit=100)["messages"]] == said[:-101:-1]


def test_the_directory_in_use_by_another_process_is_busy_or_waits(tmp_path: Path) -> None:
    """While another process writes the directory, registering waits, and reading goes on."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        guest = nobody.guest()
        holder = sqlite.connect(tmp_path / "data" / "directory.db")
        try:
            holder.execute("BEGIN IMMEDIATE")
            tokens: list[str | None] = []
            thread = threading.Thread(target=lambda: tokens.append(nobody.guest().token))
            thread.start()
            assert guest.ask("GET", "/v1/users/me/settings").status_code == 200
            assert tokens == []
            holder.execute("ROLLBACK")
            thread.join()
        finally:
            holder.close()
        assert nobody.with_token(tokens[0]).id
