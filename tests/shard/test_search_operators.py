"""The operators of a search, against a plain look at everything that was said."""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ids import MessageId, RoleId, ThreadId, UserId
from shard.errors import BadSearchError, ForbiddenError, NotFoundError
from shard.search import match, query
from tests.shard import direct, finding, stage
from tests.shard.finding import Shard

ROLE = RoleId(77)
TITLES = ("plans", "Old Plans")


def noon(day: str) -> int:
    """Return the noon of a day."""
    return int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * 1000


@dataclass(slots=True)
class Said:
    """A message as a plain look sees it."""

    content: str
    channel: str = "general"
    by: UserId = stage.ANNA
    day: str = "2024-02-29"
    title: str | None = None
    is_reply: bool = False
    is_pinned: bool = False
    is_edited: bool = False
    file: str | None = None
    has_reaction: bool = False
    calls: tuple[str, int] | None = None
    id: MessageId = field(default=MessageId(0))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with finding.opened(tmp_path_factory.mktemp("operators")) as shard:
        insert = "INSERT INTO roles (id, name, permissions, created_at) VALUES (?, 'Keepers', 0, 1)"
        shard.writer.run(insert, (ROLE,))
        yield shard


@pytest.fixture
def shard(file: Shard) -> Iterator[Shard]:
    with finding.undone(file):
        yield file


def put(shard: Shard, said: list[Said]) -> None:
    """Send messages in the order of their days, with all that hangs on them."""
    threads: dict[tuple[str, str], ThreadId] = {}
    said.sort(key=lambda one: one.day)
    for one in said:
        key = (one.channel, one.title or "")
        if one.title is not None and key not in threads:
            threads[key] = shard.thread(one.title, channel=one.channel)
        (one.id,) = shard.say(one.content, channel=one.channel, by=one.by, at=noon(one.day), thread_id=threads.get(key))
        run: Callable[[str, Any], None] = shard.writer.run
        marks = (one.is_pinned, int(one.is_edited), 5 if one.is_reply else None, one.id)
        run("UPDATE messages SET is_pinned = ?, edit_count = ?, reply_to_id = ? WHERE id = ?", marks)
        if one.file is not None:
            run(
                "INSERT INTO message_attachments (id, message_id, user_id, filename, size_bytes, mime_type, sha256, "
                "object_key, state, created_at) VALUES (?1, ?1, 1, 'x', 1, ?2, ?3, 'k', 'attached', 1)",
                (one.id, one.file, "a" * 64),
            )
        if one.has_reaction:
            run("INSERT INTO reaction_counts VALUES (?, 'x', 1, 1)", (one.id,))
        if one.calls is not None:
            run("INSERT INTO message_mentions VALUES (?, ?, ?)", (one.id, *one.calls))


SAID = st.builds(
    Said,
    content=st.sampled_from(["red", "red green", "see https://x.org/a", "HTTP://y.org red", "http: none", "日本 red"]),
    channel=st.sampled_from(["general", "other", "flat"]),
    by=st.sampled_from([stage.ANNA, stage.BEN]),
    day=st.sampled_from(["2023-12-31", "2024-01-01", "2024-02-28", "2024-02-29", "2024-03-01", "2025-06-01"]),
    is_reply=st.booleans(),
    is_pinned=st.booleans(),
    is_edited=st.booleans(),
    file=st.sampled_from([None, None, "image/png", "video/mp4", "audio/ogg", "text/plain"]),
    has_reaction=st.booleans(),
    calls=st.sampled_from([None, ("user", stage.ANNA), ("user", stage.BEN), ("role", ROLE), ("everyone", 0)]),
).flatmap(
    lambda one: (
        st.just(one) if one.channel == "flat" else st.sampled_from([None, *TITLES]).map(lambda t: titled(one, t))
    )
)


def titled(one: Said, title: str | None) -> Said:
    one.title = title
    return one


ORACLE: dict[str, Callable[[Said], bool]] = {
    "red": lambda one: "red" in one.content,
    "gre*": lambda one: "green" in one.content,
    '"red green"': lambda one: "red green" in one.content,
    "日": lambda one: "日" in one.content,
    "from:me": lambda one: one.by == stage.ANNA,
    "from:BEN": lambda one: one.by == stage.BEN,
    f"from:@{stage.BEN}": lambda one: one.by == stage.BEN,
    "in:general": lambda one: one.channel == "general",
    "in:#Other": lambda one: one.channel == "other",
    "thread:plans": lambda one: one.title == "plans",
    'thread:"old plans"': lambda one: one.title == "Old Plans",
    "has:link": lambda one: "://" in one.content,
    "has:file": lambda one: one.file is not None,
    "has:image": lambda one: one.file == "image/png",
    "has:video": lambda one: one.file == "video/mp4",
    "has:audio": lambda one: one.file == "audio/ogg",
    "has:reaction": lambda one: one.has_reaction,
    "mentions:me": lambda one: one.calls == ("user", stage.ANNA),
    "mentions:@ben": lambda one: one.calls == ("user", stage.BEN),
    "mentions:everyone": lambda one: one.calls == ("everyone", 0),
    f"mentions:{ROLE}": lambda one: one.calls == ("role", ROLE),
    "mentions:keepers": lambda one: one.calls == ("role", ROLE),
    "before:2024-02-29": lambda one: one.day < "2024-02-29",
    "before:2024": lambda one: one.day < "2024",
    "after:2024-02": lambda one: one.day >= "2024-03",
    "after:2024-02-29": lambda one: one.day > "2024-02-29",
    "during:2024": lambda one: one.day.startswith("2024"),
    "during:2024-02": lambda one: one.day.startswith("2024-02"),
    "during:2024-02-29": lambda one: one.day == "2024-02-29",
    "is:pinned": lambda one: one.is_pinned,
    "is:edited": lambda one: one.is_edited,
    "is:reply": lambda one: one.is_reply,
    "is:thread": lambda one: one.title is not None,
}
ANY_OF = ("from", "in", "thread")
"""A message has one of each, so two of these mean either."""


def matches(one: Said, parts: list[tuple[bool, str]]) -> bool:
    """Tell by a plain look whether a message is what a search asks for."""
    wanted = [text for is_wanted, text in parts if is_wanted]
    if any(ORACLE[text](one) for is_wanted, text in parts if not is_wanted):
        return False
    for name in ANY_OF:
        either = [text for text in wanted if text.startswith(f"{name}:")]
        if either and not any(ORACLE[text](one) for text in either):
            return False
    return all(ORACLE[text](one) for text in wanted if not text.startswith(ANY_OF))


PARTS = st.lists(st.tuples(st.booleans(), st.sampled_from(list(ORACLE))), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(said=st.lists(SAID, max_size=12), parts=PARTS, few=st.sampled_from([match.FEW, 0]), data=st.data())
def test_operators_and_words_together(
    file: Shard, said: list[Said], parts: list[tuple[bool, str]], few: int, data: st.DataObject
) -> None:
    """Whatever operators and words are put together, with or without a minus, a plain look at everything said finds the
    same: newest first, and nothing of a channel that is hidden."""
    text = " ".join(("" if is_wanted else "-") + part for is_wanted, part in parts)
    with finding.undone(file), pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "FEW", few)
        for title in TITLES:  # so that every title means something
            file.thread(title, channel="topics")
        put(file, said)
        visible = said
        if not any("#Other" in part for _, part in parts) and data.draw(st.booleans(), label="hidden"):
            direct.make_private(file.writer, file.room, "other")
            visible = [one for one in said if one.channel != "other"]
        try:
            found = file.search(text, limit=data.draw(st.sampled_from([1, 3, 100]), label="limit"))
        except BadSearchError:
            assert all(not is_wanted and ":" not in part for is_wanted, part in parts)
            return
        wanted = [one.id for one in reversed(visible) if matches(one, parts)]
        shown = [message.id for message in found.messages]
        assert shown == wanted[: len(shown)]
        assert (len(shown) == len(wanted)) == (found.next_place is None)


def test_several_authors_channels_or_threads_mean_any_of_them(shard: Shard) -> None:
    """Two of from:, in: or thread: find what either finds, two of mentions: what both find."""
    plans, old = shard.thread("plans"), shard.thread("old", channel="other")
    first, second = shard.say("a", thread_id=plans), shard.say("b", channel="other", by=stage.BEN, thread_id=old)
    shard.say("c", channel="flat", by=stage.OWNER)
    shard.writer.run("INSERT INTO message_mentions VALUES (?1, 'user', ?2), (?1, 'role', 77)", (*first, stage.BEN))
    shard.writer.run("INSERT INTO message_mentions VALUES (?, 'user', ?)", (*second, stage.BEN))
    assert shard.find("from:anna from:ben") == ["b", "a"]
    assert shard.find("in:general in:other") == ["b", "a"]
    assert shard.find("thread:plans thread:old") == ["b", "a"]
    assert shard.find("-thread:plans") == ["c", "b"]
    assert shard.find("mentions:ben") == ["b", "a"]
    assert shard.find("mentions:ben mentions:keepers") == ["a"]
    shard.writer.run("UPDATE roles SET name = 'Ben'")
    assert shard.find("mentions:ben -mentions:77") == ["b"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from:nobody_at_all x", "from:nobody_at_all"),
        ("mentions:nobody", "mentions:nobody: nobody and no role"),
        ("has:poem x", "has:poem: there are has:link, has:file"),
        ("x is:lost", "is:lost: there are is:pinned"),
        ("before:yesterday", "before:yesterday: a date is a day (2024-02-29)"),
        ("during:2023-02-29", "during:2023-02-29"),
        ("after:2024-13", "after:2024-13"),
        ("after:20240", "after:20240"),
        ("during:9999", "during:9999"),
    ],
)
def test_what_is_wrong_is_named(shard: Shard, text: str, says: str) -> None:
    """An operator whose value cannot be right is refused by the part that was typed."""
    with pytest.raises(BadSearchError) as refused:
        shard.find(text)
    assert str(refused.value).startswith(says)


def test_what_only_looks_like_an_operator_is_words(shard: Shard) -> None:
    """A colon in code, an address or a time, and an operator within quotes, are words."""
    texts = ["std::vector at 12:30", "foo:bar on https://x.org/a?b=c", "please from:me to you"]
    shard.say(*texts)
    assert shard.find("std::vector") == [texts[0]]
    assert shard.find("12:30") == [texts[0]]
    assert shard.find("foo:bar") == [texts[1]]
    assert shard.find("https://x.org/a") == [texts[1]]
    assert shard.find('"from:me"') == [texts[2]]
    assert shard.find("FROM:Me IN:general") == texts[::-1]
    assert query.parse('x "from:me"').filters == ()


def test_a_number_may_be_an_id_or_a_name(shard: Shard) -> None:
    """Channels, threads and people are found by id, and by a name that looks like one."""
    thread_id = shard.thread("2024")
    shard.say("in it", thread_id=thread_id)
    shard.say("by ben", by=stage.BEN)
    assert shard.find(f"thread:{thread_id}") == shard.find("thread:2024") == ["in it"]
    assert shard.find(f"in:{shard.room.general}") == ["by ben", "in it"]
    assert shard.find(f"from:{stage.BEN}") == ["by ben"]
    shard.writer.run("UPDATE channels SET name = '777' WHERE id = ?", (shard.room.general,))
    assert shard.find("in:777") == ["by ben", "in it"]
    named = finding.Shard(shard.connection, shard.writer, shard.room, {"55": stage.BEN})
    assert named.find("from:55") == ["by ben"]


@pytest.mark.security
def test_what_is_called_like_an_id_is_not_found_by_it(shard: Shard) -> None:
    """Who bears another's id as a username is found with an @ alone; a thread or role called so is not the other."""
    thread_id = shard.thread("plans")
    shard.say("in the thread", thread_id=thread_id)
    shard.say("in the likeness", thread_id=shard.thread(str(thread_id)))
    assert shard.find(f"thread:{thread_id}") == ["in the thread"]
    (asks,) = shard.say("calls ben")
    (likeness,) = shard.say("calls the role")
    shard.writer.run("UPDATE roles SET name = ? WHERE id = 77", (str(stage.BEN),))
    shard.writer.run("INSERT INTO message_mentions VALUES (?, 'user', ?)", (asks, stage.BEN))
    shard.writer.run("INSERT INTO message_mentions VALUES (?, 'role', 77)", (likeness,))
    people = {str(stage.BEN): stage.BEN, f"@{stage.BEN}": stage.ANNA, "77": stage.BEN}
    named = finding.Shard(shard.connection, shard.writer, shard.room, people)
    assert named.find(f"mentions:{stage.BEN}") == ["calls ben"]
    assert named.find("mentions:77") == ["calls the role"]
    shard.say("by ben", by=stage.BEN)
    assert named.find(f"from:{stage.BEN}") == ["by ben"]
    assert named.find(f"from:@{stage.BEN} likeness") == ["in the likeness"]


def test_what_the_server_tells_is_not_found(shard: Shard) -> None:
    """Messages of the server are in no result, and neither is what was deleted."""
    kept, told, gone = shard.say("a", "b", "c")
    shard.writer.run("UPDATE messages SET content_type = 'system' WHERE id = ?", (told,))
    shard.writer.run("UPDATE messages SET is_deleted = 1 WHERE id = ?", (gone,))
    assert [message.id for message in shard.search("from:me").messages] == [kept]
    assert shard.find("b") == []


def test_history_that_may_not_be_read_is_not_searched(shard: Shard) -> None:
    """Who sees a channel but may not read its history finds nothing in it, and is told so when they name it."""
    shard.say("word", channel="other")
    shard.writer.run(
        "INSERT INTO channel_overwrites VALUES (?, 'member', ?, 0, 1 << 16)", (shard.room.channels["other"], stage.ANNA)
    )
    assert shard.find("word") == []
    assert shard.find("word", by=stage.BEN) == ["word"]
    with pytest.raises(ForbiddenError):
        shard.find("word in:other")
    assert shard.find("word -in:other") == []
    with pytest.raises(NotFoundError):
        shard.find("word in:nowhere")


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
def test_dates_are_days_of_a_time_zone(name: str) -> None:
    """A day, month or year is from its first to its last millisecond there, also when the clock is changed on it."""
    zone = ZoneInfo(name)
    for value, begin, end in (
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=zone), datetime(2024, 3, 1, tzinfo=zone)),
        ("2024-10-27", datetime(2024, 10, 27, tzinfo=zone), datetime(2024, 10, 28, tzinfo=zone)),
        ("2024-11", datetime(2024, 11, 1, tzinfo=zone), datetime(2024, 12, 1, tzinfo=zone)),
        ("2024-12", datetime(2024, 12, 1, tzinfo=zone), datetime(2025, 1, 1, tzinfo=zone)),
        ("2023", datetime(2023, 1, 1, tzinfo=zone), datetime(2024, 1, 1, tzinfo=zone)),
    ):
        (one,) = query.parse(f"during:{value}").filters
        assert query.period(one, zone) == (begin.timestamp() * 1000, end.timestamp() * 1000)


PASTED = [
    ("git commit --amend", "git commit --amend -m done"),
    ("From: Bob", "From: Bob Subject: hi"),
    ("is: open", "is: open"),
    ("before: noon", "not before: noon"),
    ("--", "a -- b"),
    ("in: -- x", "in: -- x"),
    ("-- moss", "moss"),
    ('from:"" x', "from x"),
    ("f --thread: x", "f thread x"),
]
"""Texts as they are pasted into a search, and messages that have their words."""


@pytest.mark.parametrize(("pasted", "said"), PASTED)
def test_pasted_text_is_words(shard: Shard, pasted: str, said: str) -> None:
    """An operator has its value right behind the colon, and one minus before it excludes: all else is words."""
    if pasted == "--":
        with pytest.raises(BadSearchError):
            query.parse(pasted)
        return
    assert query.parse(pasted).filters == ()
    assert query.parse(pasted).unwanted == ()
    shard.say(said, "something else")
    assert shard.find(pasted) == [said]


def test_an_operator_without_its_value_excludes_a_word(shard: Shard) -> None:
    """A minus holds for whatever word follows, a lone operator's too."""
    shard.say("from here", "nowhere")
    assert shard.find("here -from:") == []
    assert shard.find("nowhere -from:") == ["nowhere"]


def test_names_in_operators_are_found_in_all_spellings(shard: Shard) -> None:
    """Channels, threads and roles are meant in whatever case and composition of their names, deleted ones not."""
    shard.writer.run("UPDATE channels SET name = 'Café Straße' WHERE name = 'general'")
    shard.writer.run("UPDATE roles SET name = 'Дежурные Й' WHERE id = 77")
    (asks,) = shard.say("calls the role", thread_id=shard.thread("Κόσμος Straße"))
    shard.writer.run("INSERT INTO message_mentions VALUES (?, 'role', 77)", (asks,))
    for form in ("NFC", "NFD"):
        for text in ('in:"#café straße"', 'in:"CAFÉ STRASSE"', 'mentions:"дежурные й"', 'thread:"ΚΌΣΜΟΣ strasse"'):
            assert shard.find(unicodedata.normalize(form, text)) == ["calls the role"]
    for text in ('in:"cafe strasse"', 'thread:"Κοσμος Straße"'):
        with pytest.raises(NotFoundError):
            shard.find(text)
    other = shard.room.channels["other"]
    shard.writer.run("UPDATE channels SET name = 'café STRASSE', deleted_at = 1 WHERE id = ?", (other,))
    assert shard.find('in:"café STRASSE"') == ["calls the role"]
