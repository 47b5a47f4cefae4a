"""Time of a search in a room with a long history, as the searching lane does it."""

import itertools
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from bench.figures import Figure
from ids import ChannelId, RoomId, UserId
from migrations import engine
from shard.actions import members, messages, rooms, search
from shard.actions.channels import ChannelDraft
from shard.actions.search import BEGINNING, Place, Ranking, Results, SearchRequest
from shard.engine import files
from shard.engine.connections import Reader, Writer
from shard.search import query as queries
from shard.tables.messages import Draft

MESSAGES = int(os.environ.get("ROOKERY_BENCH_MESSAGES", "1000000"))
BATCH = 5_000
BEGAN = 1_700_000_000_000
EVERY_MS = 30_000
NOW = BEGAN + MESSAGES * EVERY_MS
ROOM, OWNER = RoomId(1), UserId(10)
PEOPLE = [UserId(number) for number in range(100, 600)]
DEADLINE_SECONDS = 0.25
"""The default of `limits.search_deadline_ms`; a search answers with what it has after four fifths of it."""

_chance = random.Random(7)
WORDS = ["".join(_chance.choices("etaoinshrdlucmfwypvbgk", k=_chance.randint(2, 10))) for _ in range(20_000)]
CUMULATED = list(itertools.accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
COMMON, MIDDLING, RARE = WORDS[:40], WORDS[400:440], [f"needle{number}" for number in range(40)]

KINDS: dict[str, list[str]] = {
    "a rare word": RARE,
    "a common word": COMMON,
    "a middling and a common word": [" ".join(pair) for pair in zip(MIDDLING, COMMON, strict=True)],
    "a rare and a common word": [" ".join(pair) for pair in zip(RARE, COMMON, strict=True)],
    "a phrase of common words": [f'"{first} {second}"' for first, second in itertools.pairwise(COMMON)],
    "a phrase that nobody said": [f'"{word} {word} {word} {word}"' for word in MIDDLING],
    "the beginning of a common word": [f"{word[:2]}*" for word in COMMON],
    "the beginning of a rare word": [f"{word[:7]}*" for word in RARE],
    "one letter and a rare word": [f"{word[0]}* {rare}" for word, rare in zip(COMMON, RARE, strict=True)],
    "a common word without another": [f"{first} -{second}" for first, second in itertools.pairwise(COMMON)],
    "a common word from: who wrote much": [f"{word} from:{PEOPLE[0]}" for word in COMMON],
    "a middling word from: who wrote little": [f"{word} from:{PEOPLE[300]}" for word in MIDDLING],
    "from: without a word": [f"from:{user_id}" for user_id in PEOPLE[::10]],
    "a common word has:link": [f"{word} has:link" for word in COMMON],
    "has:file, which nobody sent": ["has:file"],
    "a common word during: a day": [f"{word} during:2023-12-{day + 1:02}" for day, word in enumerate(COMMON[:30])],
}
AIMS = {"a rare word": 5.0, "a common word": 30.0}


def measure(folder: Path) -> list[Figure]:
    """Fill a room, and search it in every way, many times with other words."""
    started = time.perf_counter()
    _build(folder)
    path = files.path_of(folder, ROOM)
    figures = [
        Figure("messages of the searched room", MESSAGES),
        Figure("its making", time.perf_counter() - started, "s"),
        Figure("its size", path.stat().st_size / 1e6, "MB"),
    ]
    connection, reader, _ = files.open_reader(path, ROOM, engine.load(engine.SHARD_FOLDER))

    def newest(text: str, user_id: UserId = OWNER) -> Results:
        return _searched(reader, user_id, text, BEGINNING)

    for kind, texts in KINDS.items():
        taken = _times(newest, texts * 3)
        figures.append(Figure(f"search for {kind}, median", median(taken), "ms", at_most=AIMS.get(kind)))
    ranked = _times(lambda text: _searched(reader, OWNER, text, Ranking()), COMMON)
    figures.append(Figure("search for a common word by relevance, median", median(ranked), "ms"))
    # These reach their deadline, and report it.
    hidden = _times(lambda text: newest(f"{text} -in:open", PEOPLE[0]), COMMON[:10])
    unused = _times(newest, ["🚀", "∀"])
    for kind, taken in (("a common word that is hidden", hidden), ("a symbol that nobody used", unused)):
        figures.append(Figure(f"search for {kind}, slowest", max(taken), "ms", at_most=DEADLINE_SECONDS * 1000))
    connection.close()
    return figures


def _times(ask: Callable[[str], Results], texts: Sequence[str]) -> list[float]:
    """Return the milliseconds of each search."""
    taken = []
    for text in texts:
        asked = time.perf_counter()
        ask(text)
        taken.append((time.perf_counter() - asked) * 1000)
    return taken


def _searched(reader: Reader, user_id: UserId, text: str, place: Place) -> Results:
    request = SearchRequest(
        query=queries.parse(text), place=place, limit=50, seconds=DEADLINE_SECONDS * 0.8,
        deadline_seconds=DEADLINE_SECONDS,
    )  # fmt: skip
    return search.results(search.begin_search(reader, user_id, request, now_ms=NOW).found, request)


def _build(folder: Path) -> None:
    """Found a room with most messages in a private channel, 5,000 in a transaction."""
    migrations = engine.load(engine.SHARD_FOLDER)
    drafts = [ChannelDraft(name) for name in ("open", "hidden", "quiet", "still")]
    rows = files.create(
        folder,
        ROOM,
        migrations,
        lambda writer: rooms.found_room(writer, "community", OWNER, drafts, now_ms=BEGAN),
        now_ms=BEGAN,
    )
    channels = [row.id for row in rows]
    connection, writer = files.open_writer(files.path_of(folder, ROOM), ROOM, migrations, now_ms=BEGAN, check=False)
    connection.pragma("synchronous", "OFF")  # it is thrown away
    for user_id in PEOPLE:
        members.join(writer, user_id, now_ms=BEGAN)
    for start in range(0, MESSAGES, BATCH):
        writer.begin()
        connection.execute("BEGIN IMMEDIATE")
        for number in range(start, min(start + BATCH, MESSAGES)):
            _say(writer, channels[number % 3 > 0], number)
        writer.settle()
        connection.execute("COMMIT")
    writer.run("UPDATE channels SET is_private = 1 WHERE name = 'hidden'")
    connection.close()


def _say(writer: Writer, channel_id: ChannelId, number: int) -> None:
    """Insert a message: words as frequent as in a language, now and then a link, and forty words that are rare."""
    content = " ".join(_chance.choices(WORDS, cum_weights=CUMULATED, k=_chance.randint(5, 60)))
    if number % 50 == 0:
        content += f" https://example.org/{number}"
    if number % max(1, MESSAGES // 400) == 0:
        content += f" {_chance.choice(RARE)}"
    speaker = PEOPLE[min(int(_chance.expovariate(0.02)), len(PEOPLE) - 1)]
    messages.send_message(writer, speaker, channel_id, Draft(content), now_ms=BEGAN + number * EVERY_MS)
