"""A real history over HTTP, against a plain look at its file: live, archived, and after the room was hibernated.

The long form of what `histories` makes up: every page both ways, every thread, and searches for what was said. It needs
ROOKERY_REAL_CHAT, a gzipped file as `rookery import` takes it, and some minutes.
"""

import gzip
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from shard.text import visible_text
from tests.rookery.terminal import run as command
from tests.rookery.terminal import serving
from tests.router.serving import Place
from tests.shard.test_search_real_chat import has, plain, queries_of

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
QUERIES_EACH = 2
"""Of 50 searches, each so often: with all messages live, archived, and woken."""
FOUND_MAX = 400
"""Of a search that finds more, so many are compared: the newest."""

Said = tuple[str, float]
"""Text and seconds of one message."""


@dataclass(frozen=True, slots=True)
class Oracle:
    """What the file says: messages by channel and by channel and topic, in their order, and all with their words."""

    channels: dict[str, list[Said]]
    threads: dict[tuple[str, str], list[Said]]
    spaced: list[tuple[Said, str]]

    def found(self, terms: list[str]) -> list[Said]:
        """Return what has all terms, newest first; of one time in any order."""
        return [said for said, words in self.spaced if all(has(words, term) for term in terms)]


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    path = os.environ.get("ROOKERY_REAL_CHAT")
    if not path:
        pytest.skip("ROOKERY_REAL_CHAT does not name a file of JSON lines to import")
    with gzip.open(path) as file:
        lines = [orjson.loads(line) for line in file if line.strip()]
    channels: dict[str, list[Said]] = defaultdict(list)
    threads: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: float(line["timestamp"])):
        said = (line["content"], float(line["timestamp"]))
        channels[line["channel"]].append(said)
        if line["topic"]:
            threads[line["channel"], visible_text.clean_name(line["topic"])].append(said)
    every = sorted((said for one in channels.values() for said in one), key=lambda said: -said[1])
    return Oracle(channels, threads, [(said, f" {' '.join(plain(said[0]))} ") for said in every])


@dataclass(frozen=True, slots=True)
class Reader:
    """The owner of the imported room, over HTTP."""

    http: httpx.Client
    room: str
    channels: dict[str, str]

    def get(self, path: str, **params: Any) -> Any:
        """Return an answer, asked again while the room wakes."""
        while True:
            answer = self.http.get(f"/v1/rooms/{self.room}{path}", params=params)
            if answer.status_code != 503:
                return answer.raise_for_status().json()

    def walk(self, channel: str, *, backwards: bool, thread_id: str | None = None) -> Iterator[Said]:
        """Yield everything in a channel or thread, page by page, oldest or newest first."""
        where: dict[str, Any] = {"limit": 100} | ({} if thread_id is None else {"thread_id": thread_id})
        place: dict[str, Any] = {} if backwards else {"after": "1"}
        while True:
            page = self.get(f"/channels/{self.channels[channel]}/messages", **where, **place)
            said = page["messages"] if backwards else page["messages"][::-1]
            yield from map(_said, said)
            if not page["has_older" if backwards else "has_newer"]:
                return
            place = {"before" if backwards else "after": said[-1]["id"]}

    def threads(self, channel: str) -> Iterator[tuple[str, str]]:
        """Yield the titles and ids of a channel's threads."""
        cursor: dict[str, Any] = {}
        while True:
            page = self.get(f"/channels/{self.channels[channel]}/threads", limit=100, **cursor)
            yield from ((thread["title"], thread["id"]) for thread in page["threads"])
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    def search(self, text: str) -> list[Said]:
        """Return the newest that a search finds, over pages and deadlines."""
        found: list[Said] = []
        cursor: dict[str, Any] = {}
        while len(found) < FOUND_MAX:
            page = self.get("/search", q=text, limit=100, **cursor)
            found += map(_said, page["messages"])
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        return found[:FOUND_MAX]


def _said(message: dict[str, Any]) -> Said:
    return message["content"], datetime.fromisoformat(message["created_at"]).timestamp()


def compare(reader: Reader, oracle: Oracle, seed: int) -> None:
    """See that everything is there, in order, once, and found."""
    for channel, said in oracle.channels.items():
        assert list(reader.walk(channel, backwards=True)) == said[::-1], channel
        assert list(reader.walk(channel, backwards=False)) == said, channel
        threads = list(reader.threads(channel))
        assert {title for title, _ in threads} == {title for of, title in oracle.threads if of == channel}
        for title, thread_id in threads:
            assert (
                list(reader.walk(channel, backwards=True, thread_id=thread_id)) == oracle.threads[channel, title][::-1]
            )
    words = [plain(said[0]) for said, _ in oracle.spaced]
    chance = random.Random(seed)
    for terms in chance.sample([*queries_of([one for one in words if one])], 25 * QUERIES_EACH):
        wanted = oracle.found(terms)
        found = reader.search(" ".join(terms))
        assert len(found) == min(len(wanted), FOUND_MAX), terms
        assert [seconds for _, seconds in found] == [seconds for _, seconds in wanted[:FOUND_MAX]], terms
        assert set(found) <= set(wanted), terms


def test_a_real_history_is_exact_live_archived_and_woken(tmp_path: Path, oracle: Oracle) -> None:
    """Every page both ways, every thread and every search is as the file says, wherever the messages are."""
    path = os.environ["ROOKERY_REAL_CHAT"]
    Place(tmp_path).settings()

    def run(*words: object, stdin: str = "") -> None:
        done = command("--config", tmp_path / "rookery.toml", *words, cwd=tmp_path, stdin=stdin.encode())
        assert done.code == 0, done.out + done.err

    run("user", "create", "keeper", "--password-stdin", stdin=f"{PASSWORD}\n")
    run("import", path, "--room", "real", "--owner", "keeper")
    with (
        serving(tmp_path / "rookery.toml", cwd=tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        signed_in = http.post("/v1/auth/login", json={"username": "keeper", "password": PASSWORD})
        http.headers["authorization"] = f"Bearer {signed_in.raise_for_status().json()['token']}"
        (room,) = http.get("/v1/rooms").raise_for_status().json()["rooms"]
        channels = http.get(f"/v1/rooms/{room['id']}/channels").raise_for_status().json()["channels"]
        reader = Reader(http, room["id"], {channel["name"]: channel["id"] for channel in channels})
        compare(reader, oracle, seed=1)
        run("archive", "policy", "real", "--archive-after", "7")
        run("archive", "run", "real")
        compare(reader, oracle, seed=2)
        run("room", "hibernate", "real")
        compare(reader, oracle, seed=3)
