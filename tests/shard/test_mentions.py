"""Whom a message calls: read from its text, and kept only for those who can hear it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ids import MessageId, UserId
from shard import mentions, permissions
from shard.acts import amending, joining, paging, talking
from shard.acts.paging import Span
from shard.connections import Writer
from shard.mentions import Called
from shard.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS
NOBODY = Called((), (), everyone=False)
EVERYONE = Called((), (), everyone=True)


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[Writer, stage.Room]]:
    """A room whose role 20 may be mentioned, and 21 may not."""
    with direct.writing(tmp_path) as (_, writer, room):
        for role_id, is_mentionable in ((20, 1), (21, 0)):
            writer.run(
                "INSERT INTO roles (id, name, permissions, position, is_mentionable, created_at) "
                "VALUES (?, 'r', 0, 1, ?, 1)",
                (role_id, is_mentionable),
            )
        yield writer, room


def send(writer: Writer, room: stage.Room, text: str, user_id: UserId = stage.ANNA, **options: Any) -> MessageId:
    """Send a message and return its id, once it is clear that it is read as it was returned."""
    sent = talking.send_message(writer, user_id, room.general, Draft(text), now_ms=NOW, **options).message
    assert paging.get_message(writer, stage.OWNER, room.general, sent.id, now_ms=NOW) == sent
    assert paging.read_page(writer, stage.OWNER, room.general, None, Span(1), now_ms=NOW).messages[0].id == sent.id
    return sent.id


def called(writer: Writer, message_id: MessageId) -> list[tuple[str, int]]:
    """Return whom a message calls, by its rows, once it is clear that the page tells the same."""
    rows = writer.all("SELECT target_type, target_id FROM message_mentions WHERE message_id = ?", (message_id,))
    extras = writer.one("SELECT extras FROM messages WHERE id = ?", (message_id,))
    assert extras == (1 if rows else 0,)
    return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hello", NOBODY),
        ("a <@12> b <@&20><@13> <@12>", Called((12, 13), (20,), everyone=False)),
        ("<@0> <@012> <@-1> <@x> <@> <@12 <@ 12> <@9223372036854775808>", NOBODY),
        ("<@9223372036854775807>", Called((2**63 - 1,), (), everyone=False)),
        ("@everyone", EVERYONE),
        ("(@here)", EVERYONE),
        ("@everyone's turn, @here.", EVERYONE),
        ("me@everyone.example @everyones @hereby @@everyone @Everyone", NOBODY),
        ("`<@12>` and `` ` @everyone `` too", NOBODY),
        ("```py\n<@12>\n```", NOBODY),
        ("`<@12>", Called((12,), (), everyone=False)),
        ("```<@12>``", Called((12,), (), everyone=False)),
        ("`a` <@12> `b`", Called((12,), (), everyone=False)),
        ("`` <@12> ` <@13> ``", NOBODY),
        ("x`a`@here", EVERYONE),
    ],
)
def test_a_text_names_people_outside_of_code(text: str, named: Called) -> None:
    """Members, roles and everyone are named by their signs, and not where these stand in code or are none."""
    assert mentions.parse(text) == named


def test_a_text_names_at_most_a_hundred() -> None:
    """What stands after a hundred different names is plain text, and repetitions do not count."""
    text = "".join(f"<@{number}><@{number}>" for number in range(1, 150)) + "@everyone"
    assert mentions.parse(text) == Called(tuple(range(1, 101)), (), everyone=True)


_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)


@given(st.lists(st.sampled_from(["`", "`", "``", "```", "a", "\n", " @here "]), max_size=20).map("".join))
def test_code_is_what_commonmark_says(text: str) -> None:
    """Code spans are found as by the rule written down backwards, in one pass."""
    assert mentions._without_code(text) == _CODE.sub(" ", text)


def test_only_who_can_hear_is_called(shard: tuple[Writer, stage.Room]) -> None:
    """Present members are called; whoever left, is timed in elsewhere or never came is not, and neither is a channel's
    outsider."""
    writer, room = shard
    text = f"<@{stage.BEN}> <@{stage.OWNER}> <@999> <@{stage.ANNA}>"
    everybody = [("user", stage.OWNER), ("user", stage.ANNA), ("user", stage.BEN)]
    assert called(writer, send(writer, room, text)) == everybody
    joining.leave(writer, stage.BEN, now_ms=NOW)
    assert called(writer, send(writer, room, text)) == everybody[:2]
    direct.make_private(writer, room, "general")
    assert called(writer, send(writer, room, text, stage.OWNER)) == everybody[:1]


def test_roles_are_called_if_they_may_be(shard: tuple[Writer, stage.Room]) -> None:
    """Whoever may mention everyone calls any role, others those that are mentionable, and nobody one that is not there;
    everyone's own role is everyone."""
    writer, room = shard
    text = f"<@&20> <@&21> <@&22> <@&{room.id}>"
    assert called(writer, send(writer, room, text)) == [("role", 20)]
    assert called(writer, send(writer, room, text, stage.OWNER)) == [("everyone", 0), ("role", 20), ("role", 21)]


@pytest.mark.parametrize("text", ["@everyone", "look @here now"])
def test_everyone_is_called_by_those_who_may(shard: tuple[Writer, stage.Room], text: str) -> None:
    """Without the permission it is plain text, with it in this channel everyone is called."""
    writer, room = shard
    assert called(writer, send(writer, room, text)) == []
    writer.run(
        "INSERT INTO channel_overwrites VALUES (?, 'member', ?, ?, 0)",
        (room.general, stage.ANNA, permissions.MENTION_EVERYONE),
    )
    assert called(writer, send(writer, room, text)) == [("everyone", 0)]


def test_an_import_calls_nobody(shard: tuple[Writer, stage.Room]) -> None:
    """History of elsewhere rings no bells, whatever it says."""
    writer, room = shard
    text = f"<@{stage.BEN}> @everyone"
    assert called(writer, send(writer, room, text, stage.OWNER, sent_at=NOW)) == []
    assert len(called(writer, send(writer, room, text, stage.OWNER))) == 2


def test_an_edit_calls_whom_its_words_call(shard: tuple[Writer, stage.Room]) -> None:
    """After an edit exactly those are called whom the new words name, and reactions of the message stay with it."""
    writer, room = shard
    message_id = send(writer, room, f"<@{stage.BEN}>")
    writer.run("UPDATE messages SET extras = extras | 4 WHERE id = ?", (message_id,))
    writer.run("INSERT INTO reaction_counts VALUES (?, '🐦', 1, 1)", (message_id,))
    for text, wanted in (
        (f"<@{stage.OWNER}> <@&20>", [("role", 20), ("user", stage.OWNER)]),
        ("nobody", []),
        (f"again <@{stage.BEN}>", [("user", stage.BEN)]),
    ):
        edited = amending.edit_message(writer, stage.ANNA, room.general, message_id, text, now_ms=NOW)
        assert paging.get_message(writer, stage.BEN, room.general, message_id, now_ms=NOW) == edited
        rows = writer.all("SELECT target_type, target_id FROM message_mentions WHERE message_id = ?", (message_id,))
        assert rows == wanted
        assert orjson.loads(edited.mentions or "[]") == [list(row) for row in wanted]
        assert edited.reactions == '[["🐦",1]]'
