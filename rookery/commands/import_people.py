"""Whom the names in an imported history mean: a placeholder each, unless the operator says otherwise.

What a name means in a room is noted by id at the first import, and stays so: importing again finds the same people.
An account that was there before is an author only because the operator named it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from directory import errors, placeholders, users
from directory.database import Writer
from directory.directory import Directory
from ids import RoomId, UserId
from rookery.composition import now_ms
from rookery.errors import CommandError

MAP_BYTES_MAX: Final = 64_000_000
"""A file of names is read whole: half a million of them."""


@dataclass(slots=True)
class People:
    """The authors of one import; `named` are the accounts that the operator mapped names to."""

    named: Mapping[str, UserId]
    are_matched: bool
    """Accounts are taken for the authors whose names are their usernames."""
    matched: dict[str, UserId] = field(default_factory=dict)
    """Accounts that were taken so."""
    known: dict[str, UserId] = field(default_factory=dict)

    async def find(self, directory: Directory, room_id: RoomId, names: Collection[str]) -> Mapping[str, UserId]:
        """Return whom names mean, theirs among others; raises CommandError where it contradicts an earlier import."""
        missing = sorted(set(names) - self.known.keys())
        if missing:
            async with directory.database.write() as writer:
                self.known |= await self._bind(writer, room_id, missing)
        return self.known

    async def _bind(self, writer: Writer, room_id: RoomId, names: Collection[str]) -> dict[str, UserId]:
        bound = await placeholders.bound(writer, room_id, names)
        for name, user_id in bound.items():
            if self.named.get(name, user_id) != user_id:
                raise CommandError(
                    f"{name} was imported into this room as another account (id {user_id}). Its messages stay that "
                    "account's: leave the name out of the map."
                )
        new = [name for name in names if name not in bound]
        accounts = {name: self.named[name] for name in new if name in self.named}
        if self.are_matched:
            matched = await users.find_bearers(writer, [name for name in new if name not in accounts])
            self.matched |= matched
            accounts |= matched
        await placeholders.bind(writer, room_id, accounts, are_placeholders=False)
        strangers = [name for name in new if name not in accounts]
        made = await placeholders.create(writer, strangers, now_ms=now_ms()) if strangers else {}
        await placeholders.bind(writer, room_id, made, are_placeholders=True)
        return bound | accounts | made


async def read_map(directory: Directory, file: Path | None) -> dict[str, UserId]:
    """Return the accounts that a file maps names to; raises CommandError for a bad file and an account that is not
    there."""
    if file is None:
        return {}
    with file.open("rb") as opened:
        content = opened.read(MAP_BYTES_MAX + 1)
    if len(content) > MAP_BYTES_MAX:
        raise CommandError(f"{file} has more than {MAP_BYTES_MAX} bytes.")
    try:
        named = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{file} is not JSON ({error.msg}).") from None
    if not isinstance(named, dict) or not all(isinstance(value, str) for value in named.values()):
        raise CommandError(f'{file} is not a JSON object of names and usernames, such as {{"Grace H.": "grace"}}.')
    found: dict[str, UserId] = {}
    async with directory.database.read() as reader:
        for name, username in named.items():
            try:
                user = await users.find_named(reader, username)
            except errors.UserNotFoundError:
                raise CommandError(f"{file}: there is no user {username}.") from None
            if user.status == "deleted" or user.is_bot:
                raise CommandError(f"{file}: {username} is no person's account.")
            found[name] = user.id
    return found
