"""`rookery user imported` and `rookery user claim`: people who are known from an imported history."""

from typing import Annotated

import typer

from directory import placeholders, rooms
from directory.placeholders import ImportedPerson
from directory.users import User
from rookery import composition, interruption, options
from rookery.commands import passwords
from rookery.commands.passwords import PasswordFile, PasswordStdin
from rookery.composition import now_ms
from rookery.outputs import AsJson, speaking, table

Room = Annotated[str, typer.Option(help="The community that the history was imported into, by name or id.")]


def imported(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="A community's name or id.")],
    as_json: AsJson = False,
) -> None:
    """List the people of a room's imported history, and whose accounts they are.

    Example: rookery user imported lean
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()

        async def look() -> list[ImportedPerson]:
            found: list[ImportedPerson] = []
            async with composition.open_directory(settings) as directory, directory.database.read() as reader:
                room_id = (await rooms.find_named(reader, room)).id
                while page := await placeholders.of_room(reader, room_id, after=found[-1].name if found else ""):
                    found += page
            return found

        people = interruption.run(look())
        value = [
            {
                "name": person.name,
                "user_id": str(person.user_id),
                "username": person.username,
                "is_claimed": not person.is_placeholder,
            }
            for person in people
        ]
        rows = [
            (person.name, person.user_id, "nobody yet" if person.is_placeholder else person.username)
            for person in people
        ]
        output.give(value, table("name", "id", "account of", rows=rows))


def claim(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the person is called in the imported history.")],
    username: Annotated[str, typer.Argument(metavar="USERNAME", help="The username that they take from now on.")],
    room: Room,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
) -> None:
    """Give the account of an imported name to its person, with a username and a password; their messages stay theirs.

    It makes nobody a member: they join the room, or are invited, as everybody else. Be sure of whom you give it to.

    Example: rookery user claim "Grace Hopper" grace --room lean
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        password = passwords.read(password_file, from_stdin=password_stdin)

        async def give() -> User:
            async with composition.open_directory(settings) as directory:
                async with directory.database.read() as reader:
                    room_id = (await rooms.find_named(reader, room)).id
                return await placeholders.claim(
                    directory.database,
                    directory.passwords,
                    room_id,
                    name,
                    username=username,
                    password=password,
                    now_ms=now_ms(),
                )

        user = interruption.run(give())
        value = {"id": str(user.id), "username": user.username, "display_name": user.display_name}
        output.give(value, f"{name} of {room} is now {user.username} (id {user.id}).")
