"""Whom a message calls: read from its text, and kept only for those who can hear it."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ids import MessageId, UserId
from shard import permissions
from shard.actions import members, messages, pages
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.tables.messages import Draft
from shard.text import code_marks, mention_marks
from shard.text.mention_marks import Called
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
    sent = messages.send_message(writer, user_id, room.general, Draft(text), now_ms=NOW, **options).message
    assert pages.get_message(writer, stage.OWNER, room.general, sent.id, now_ms=NOW) == sent
    assert direct.read_page(writer, stage.OWNER, room.general, None, Span(1), now_ms=NOW).messages[0].id == sent.id
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
    assert mention_marks.parse(text) == named


def test_a_text_names_at_most_a_hundred() -> None:
    """What stands after a hundred different names is plain text, and repetitions do not count."""
    text = "".join(f"<@{number}><@{number}>" for number in range(1, 150)) + "@everyone"
    assert mention_marks.parse(text) == Called(tuple(range(1, 101)), (), everyone=True)


FENCES = [
    ("````md\n```\n@everyone\n```\n````", NOBODY),
    ("```\n@everyone", NOBODY),
    ("~~~\n@everyone\n~~~", NOBODY),
    ("~~~\n```\n~~~\n@everyone", EVERYONE),
    ("```\ncode\n```\n@everyone", EVERYONE),
    ("```\n@everyone\n``\n<@12>", NOBODY),
    ("``` not a fence ``` @here", EVERYONE),
    ("`a\n\nb @everyone `c", EVERYONE),
    ("`a\n\n<@12>`", Called((12,), (), everyone=False)),
    ("`a\n@here b`", NOBODY),
    ("    @everyone", NOBODY),
    ("text\n    @everyone", EVERYONE),
    ("> ```\n> @everyone\n> ```\n> <@12>", Called((12,), (), everyone=False)),
    ("> ```\n@everyone", EVERYONE),
    ("- ```\n  @everyone\n  ```", NOBODY),
    ("\\`@everyone`", EVERYONE),
    ("\\@everyone `x`", EVERYONE),
    ("# `@here` <@12>", Called((12,), (), everyone=False)),
    ("<pre>`@here`</pre> <@12>", Called((12,), (), everyone=False)),
    ("- a\n\n      @here\n  <@12>", Called((12,), (), everyone=False)),
    ("-    a\n\t```\n@everyone", EVERYONE),
    ("> a\n    @everyone", EVERYONE),
    (">\n      @everyone", NOBODY),
    ("1. ~~~\n   @here\n\n2. <@12>", Called((12,), (), everyone=False)),
    ("a\n2. ```\n@here ```", NOBODY),
    ("a\n===\n    @everyone", NOBODY),
    ("`a\n---\n@everyone`", EVERYONE),
    ("-\n\n      @everyone", NOBODY),
    (">\t```\n> @everyone\n>\t```", NOBODY),
    ("   ```\n    @here\n    ```\n@here", NOBODY),
    ("```\r\n@everyone\r\n```\r\n<@12>", Called((12,), (), everyone=False)),
    ("`` @here ` @here ``", NOBODY),
    ("``` `a` @everyone `b`", EVERYONE),
]
"""Texts with blocks and spans of code, by the rules of CommonMark."""
ADDRESSES = [
    ("https://x.org/@everyone", NOBODY),
    ("(https://x.org/a?b=@here) @everyone", EVERYONE),
    ("x.org/@everyone", NOBODY),
    ("ssh://me@here", NOBODY),
    ("a+b.c://x@everyone", NOBODY),
    (":// @everyone", EVERYONE),
    ("https://x.org/<@12>", Called((12,), (), everyone=False)),
    ("@everyoneこんにちは", EVERYONE),
    ("こんにちは@everyone", EVERYONE),
    ("@everyone、見て", EVERYONE),
    ("@everyone\u043f\u0440\u0438", EVERYONE),
    ("@everyone\u0301", NOBODY),
    ("@hereé", NOBODY),
    ("@everyone_else", NOBODY),
]
"""Addresses in which nobody is called, and scripts in which no space separates a name from its text."""


@pytest.mark.parametrize(("text", "named"), [*FENCES, *ADDRESSES], ids=ascii)
def test_code_and_addresses_call_nobody(text: str, named: Called) -> None:
    """What stands in code by CommonMark's rules, or in an address, is plain text; everything beside it counts."""
    assert mention_marks.parse(text) == named


_WHOLE = MarkdownIt("commonmark", {"html": False, "maxNesting": 100}).disable(
    ["link", "image", "autolink", "emphasis", "entity", "reference", "html_block", "html_inline", "newline"]
)
"""The whole language without what changes nothing about code; an oracle."""
_PARTS = ["`", "``", "```", "~~~", "````", "a", "b c", "\n", "\n", "\n\n", " ", "- ", "1. ", "# ", "\\", "==="]


@pytest.mark.parametrize("part", ["> ", "    "])
def test_code_is_what_commonmark_says(part: str) -> None:
    """In any mixture of blocks and spans, what is outside of code is what a whole parser says."""
    # Quotes and indented code apart: the oracle strays from the reference implementation where they meet.
    chance = random.Random(11)
    for _ in range(3_000):
        text = "`z`\n\n" + "".join(chance.choices([*_PARTS, part, part], k=chance.randint(2, 16)))
        words = [
            child.content
            for token in _WHOLE.parse(text)
            for child in token.children or ()
            if child.type in ("text", "text_special")
        ]
        said = code_marks.outside(text)
        assert re.sub(r"[\s\\#]", "", said) == re.sub(r"[\s\\#]", "", "".join(words)), text


@given(st.lists(st.sampled_from(["`", "`", "``", "```", "a", "\n", " @here "]), max_size=20).map("".join))
def test_spans_end_with_the_next_run_of_equal_length(text: str) -> None:
    """Spans within one paragraph are found as by the rule written down backwards, in one pass."""
    rule = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
    assert code_marks._outside_spans(text) == rule.sub(" ", text)


@given(st.text("`~>-*_#1.)= \t\r\n\\a", max_size=300))
def test_any_text_has_an_outside(text: str) -> None:
    """No mixture of marks fails, and nothing comes out that was not in it."""
    assert set(code_marks.outside(text)) <= {*text, " ", "\n"}


def test_deep_quotes_are_text() -> None:
    """What is deeper than the bound is text of the innermost one, and people in it are called."""
    assert mention_marks.parse("> " * 200 + "```\n@everyone") == EVERYONE
    assert mention_marks.parse("- " * 200 + "`x` @everyone") == EVERYONE


def test_only_who_can_hear_is_called(shard: tuple[Writer, stage.Room]) -> None:
    """Present members are called; whoever left, is timed in elsewhere or never came is not, and neither is a channel's
    outsider."""
    writer, room = shard
    text = f"<@{stage.BEN}> <@{stage.OWNER}> <@999> <@{stage.ANNA}>"
    everybody = [("user", stage.OWNER), ("user", stage.ANNA), ("user", stage.BEN)]
    assert called(writer, send(writer, room, text)) == everybody
    members.leave(writer, stage.BEN, now_ms=NOW)
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
        edited = messages.edit_message(writer, stage.ANNA, room.general, message_id, text, now_ms=NOW)
        assert pages.get_message(writer, stage.BEN, room.general, message_id, now_ms=NOW) == edited
        rows = writer.all("SELECT target_type, target_id FROM message_mentions WHERE message_id = ?", (message_id,))
        assert rows == wanted
        assert orjson.loads(edited.mentions or "[]") == [list(row) for row in wanted]
        assert edited.reactions == '[["🐦",1]]'
