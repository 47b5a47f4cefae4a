"""Searching over HTTP: words and operators, snippets, both orders, cursors, and what is refused."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import sqlite
from tests.router.clients import Client, Room, client_of
from tests.router.serving import Place, serving


@pytest.fixture(scope="module")
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def find(client: Client, room: Room, q: str, **params: Any) -> list[str]:
    """Return the contents of what somebody finds."""
    return [message["content"] for message in client.get(f"{room.path}/search", q=q, **params)["messages"]]


def test_search_finds_words_phrases_and_beginnings(owner: Client) -> None:
    """All words must occur, phrases in order, beginnings by their star, and what is unwanted must not."""
    room = owner.found()
    texts = ("the quick brown fox", "a brown quick dog", "日本語の文章", "Café crème")
    for text in texts:
        owner.say(room, text)
    assert find(owner, room, "quick brown") == [texts[1], texts[0]]
    assert find(owner, room, '"quick brown"') == [texts[0]]
    assert find(owner, room, "quick -fox") == [texts[1]]
    assert find(owner, room, "qui*") == [texts[1], texts[0]]
    assert find(owner, room, "本語") == [texts[2]]
    assert find(owner, room, "cafe CREME") == [texts[3]]
    assert find(owner, room, "quick", channel_id=room.channels["announcements"]) == []
    assert find(owner, room, "quick in:announcements") == []
    assert find(owner, room, "absent") == []


def test_snippets_show_where_the_words_are(owner: Client) -> None:
    """Each message comes with a piece of it, and the places of the words in that."""
    room = owner.found()
    long, short = owner.say(room, "filler " * 50 + "a café" + " filler" * 50), owner.say(room, "日本語 café")
    page = owner.get(f"{room.path}/search", q="cafe")
    assert [message["id"] for message in page["messages"]] == [short["id"], long["id"]]
    assert page["snippets"][0] == {"message_id": short["id"], "text": "日本語 café", "matches": [[4, 4]]}
    piece = page["snippets"][1]
    ((start, length),) = piece["matches"]
    assert piece["text"][start : start + length] == "café"
    assert (piece["text"][0], piece["text"][-1], len(piece["text"]) <= 202) == ("…", "…", True)
    assert [user["id"] for user in page["users"]] == [owner.id]
    assert owner.get(f"{room.path}/search", q="from:me")["snippets"][0]["matches"] == []


def test_people_are_found_by_their_names(nobody: Client) -> None:
    """from: takes a username whatever its case, an id or me; mentions: takes them too."""
    owner, ada = nobody.guest(), nobody.register("Ada_of_Search")
    room = owner.found()
    owner.admit(room, ada)
    ada.say(room, "by ada")
    owner.say(room, f"by the owner, <@{ada.id}>")
    assert find(owner, room, "from:ada_of_search") == find(owner, room, f"from:{ada.id}") == ["by ada"]
    assert find(ada, room, "from:me by") == ["by ada"]
    assert find(owner, room, "-from:@ADA_of_search by") == [f"by the owner, <@{ada.id}>"]
    called = [f"by the owner, <@{ada.id}>"]
    assert find(owner, room, "mentions:ada_of_search") == find(ada, room, "mentions:me") == called
    refusal = owner.refused("GET", f"{room.path}/search", params={"q": "x from:nobody_at_all"})
    assert (refusal.type, refusal.detail) == (
        "bad-search",
        "from:nobody_at_all: nobody has this name. Text in quotes is searched for as it is.",
    )


def test_days_are_those_of_ones_time_zone(nobody: Client) -> None:
    """A date is a day of the account's time zone, or of the one that the request names."""
    ada = nobody.register("Ada_in_Apia")
    room = ada.found()
    sent_at = ada.say(room, "now")["created_at"]

    def found(zone: str | None) -> list[str]:
        days = [
            datetime.fromisoformat(sent_at).astimezone(ZoneInfo(name)).date()
            for name in ("Pacific/Apia", "Pacific/Niue")
        ]
        params = {} if zone is None else {"time_zone": zone}
        return [
            day.isoformat()
            for day in days
            if ada.get(f"{room.path}/search", q=f"during:{day.isoformat()}", **params)["messages"]
        ]

    in_apia, in_niue = found("Pacific/Apia"), found("Pacific/Niue")
    assert len(in_apia) == len(in_niue) == 1
    assert in_apia != in_niue
    ada.did("PATCH", "/v1/users/me", {"timezone": "Pacific/Niue"})
    assert found(None) == in_niue
    ada.did("PATCH", "/v1/users/me", {"timezone": "Pacific/Apia"})
    assert found(None) == in_apia
    for wrong in ("Mars/Base", "Europe", "../x", "x" * 65):
        assert (
            "query.time_zone" in ada.refused("GET", f"{room.path}/search", params={"q": "x", "time_zone": wrong}).errors
        )


@pytest.mark.security
def test_an_id_finds_nobody_who_is_called_so(tmp_path: Path) -> None:
    """Of two people, one of whom has the other's id as an old username, an id finds the one and an @ the other."""
    with serving(Place(tmp_path)) as server, client_of(server) as nobody:
        owner, mallory = nobody.guest(), nobody.register("mallory")
        room = owner.found()
        owner.admit(room, mallory)
        owner.say(room, "by the owner")
        mallory.say(room, "by mallory")
        directory = sqlite.connect(tmp_path / "data" / "directory.db")
        directory.execute("UPDATE users SET username = ? WHERE username = 'mallory'", (owner.id,))
        directory.close()
        assert find(owner, room, f"from:{owner.id}") == ["by the owner"]
        assert find(owner, room, f"from:@{owner.id}") == ["by mallory"]
        assert find(owner, room, f"-from:{owner.id} by") == ["by mallory"]


@pytest.mark.parametrize("sort", ["time", "relevance"])
def test_every_page_leads_to_the_next(owner: Client, sort: str) -> None:
    """With the cursor of each page, everything found is shown once, in both orders."""
    room = owner.found()
    said = [owner.say(room, "word " * (number % 3 + 1))["id"] for number in range(7)]
    search = f"{room.path}/search"
    page = owner.get(search, q="word", sort=sort, limit=3)
    walked = [message["id"] for message in page["messages"]]
    while page["next_cursor"]:
        page = owner.get(search, q="word", sort=sort, limit=3, cursor=page["next_cursor"])
        assert page["is_cut"] is False
        walked += [message["id"] for message in page["messages"]]
    assert sorted(walked) == said
    newest_first = said[::-1]
    assert (walked == newest_first) == (sort == "time")
    if sort == "relevance":
        assert walked == sorted(newest_first, key=lambda one: said.index(one) % 3, reverse=True)


def test_cursors_belong_to_their_order(owner: Client, room: Room) -> None:
    """A cursor of one order, or none of this server's, is refused for the other."""
    for number in range(3):
        owner.say(room, f"cursor {number}")
    search = f"{room.path}/search"
    cursor = owner.get(search, q="cursor", limit=1)["next_cursor"]
    for params in ({"sort": "relevance", "cursor": cursor}, {"cursor": "nonsense"}, {"limit": "101"}, {"sort": "best"}):
        assert owner.refused("GET", search, params={"q": "cursor", **params}).type == "invalid"


@pytest.mark.parametrize(
    "query",
    ['quick AND NOT fox', 'quick OR', 'NEAR(quick fox, 2)', 'content:quick', '^quick', '{content}: quick',
     'quick + fox', '"quick', 'quick"', "it's", '(quick', 'quick*fox*', 'rank:1', "quick\\", 'a' * 500, "quick\n", "%",
     "quick;--", "C++", "🚀", "foo_bar::baz", "words:quick", "has:link", "-is:pinned"],
)  # fmt: skip
def test_nothing_typed_into_search_is_syntax(owner: Client, room: Room, query: str) -> None:
    """Search texts that FTS5 would read as syntax are words, or refused for having none."""
    response = owner.ask("GET", f"{room.path}/search", params={"q": query})
    assert response.status_code == (422 if query == "%" else 200)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        *((query, "Search for at least one word") for query in ("-", "-quick", '""', "*", " ")),
        ("a b c d e f g h i j k l m n o p q", "A search has at most 16"),
        ("x has:poem", "has:poem: there are"),
        ("x before:soon", "before:soon: a date is"),
    ],
)
def test_a_search_that_cannot_be_is_refused(owner: Client, room: Room, query: str, says: str) -> None:
    """A search needs something to look for, and has at most sixteen parts; what is wrong is named."""
    refusal = owner.refused("GET", f"{room.path}/search", params={"q": query})
    assert refusal.type == "bad-search"
    assert refusal.detail.startswith(says)


@pytest.mark.security
def test_a_hidden_channel_is_as_good_as_none(owner: Client, other: Client) -> None:
    """Words, people and threads of a channel that one does not see are not found, and its name is nobody's."""
    room = owner.found()
    owner.admit(room, other)
    channel = owner.post(f"{room.path}/channels", {"name": "backstage", "is_private": True})["id"]
    inside = f"{room.path}/channels/{channel}"
    thread = owner.post(f"{inside}/threads", {"title": "scenes"})["id"]
    owner.post(f"{inside}/messages", {"content": "curtain", "thread_id": thread})
    owner.say(room, "curtain call")
    search = f"{room.path}/search"
    assert find(owner, room, "curtain") == ["curtain call", "curtain"]
    for sort in ("time", "relevance"):
        assert find(other, room, "curtain", sort=sort) == ["curtain call"]
        page = other.get(search, q="curtain", sort=sort, limit=1)
        assert (page["next_cursor"], page["is_cut"]) == (None, False)
    for hidden, missing in (
        ({"q": "curtain in:backstage"}, {"q": "curtain in:nowhere"}),
        ({"q": "curtain -in:backstage"}, {"q": "curtain -in:nowhere"}),
        ({"q": f"in:{channel}"}, {"q": "in:1"}),
        ({"q": "thread:scenes"}, {"q": "thread:nothing"}),
        ({"q": f"thread:{thread}"}, {"q": "thread:1"}),
        ({"q": "curtain", "channel_id": channel}, {"q": "curtain", "channel_id": "1"}),
    ):
        assert owner.ask("GET", search, params=hidden).status_code == 200
        assert other.refused("GET", search, params=hidden) == other.refused("GET", search, params=missing)
        assert other.refused("GET", search, params=hidden).status == 404


def test_a_search_out_of_time_says_so_and_goes_on(tmp_path: Path) -> None:
    """With a deadline that leaves no time, a search answers 200 with is_cut, and its cursors lead to everything."""
    with serving(Place(tmp_path, limits={"search_deadline_ms": 1})) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room = anna.found()
        said = [anna.say(room, f"🚀 {number}")["id"] for number in range(12)]
        walked: list[str] = []
        params: dict[str, Any] = {"q": "🚀", "limit": 5}
        for _ in range(50):
            answer = anna.ask("GET", f"{room.path}/search", params=params)
            if answer.status_code == 503:  # not even one chunk was done in time
                assert answer.json()["type"].endswith("deadline")
                continue
            page = answer.json()
            walked += [message["id"] for message in page["messages"]]
            assert not page["is_cut"] or page["next_cursor"]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert walked == said[::-1]
