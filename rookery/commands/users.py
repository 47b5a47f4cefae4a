"""`rookery user`: accounts, for operators."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from config.settings import Settings
from directory import accounts, capabilities, credentials, room_pages, sessions, users
from directory.capabilities import Capability
from directory.directory import Directory
from directory.users import User
from rookery import composition, interruption, options
from rookery.commands import claims, passwords
from rookery.commands.passwords import PasswordFile, PasswordStdin
from rookery.composition import now_ms
from rookery.outputs import AsJson, at, counted, facts, speaking, table

T = TypeVar("T")
LIST_MAX = 1_000
"""Accounts that the command lists without `--limit`."""

app = typer.Typer(no_args_is_help=True, help="Make, look up and manage accounts.")
app.command()(claims.claim)
app.command()(claims.imported)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The username, in any case, or the id.")]
Which = Annotated[Capability, typer.Option("--capability", help="The capability on the whole server.")]


def _run(settings: Settings, work: Callable[[Directory], Awaitable[T]]) -> T:
    async def run() -> T:
        async with composition.open_directory(settings) as directory:
            return await work(directory)

    return interruption.run(run())


async def _find(directory: Directory, name: str) -> User:
    async with directory.database.read() as reader:
        return await users.find_named(reader, name)


@app.command()
def create(
    context: typer.Context,
    name: Name,
    email: Annotated[str | None, typer.Option(help="An e-mail address, which can be used to log in.")] = None,
    display_name: Annotated[str | None, typer.Option(help="The name that others see instead of the username.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make the account an administrator at once.")] = False,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
) -> None:
    """Make an account; its password is read from the terminal.

    Use it for the first administrator, and where registration is closed. A password is never an argument: other users
    of the machine could read it in the list of processes.

    Example: rookery user create alice --admin
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).settings()
        password = passwords.read(password_file, from_stdin=password_stdin)

        async def make(directory: Directory) -> User:
            user = await accounts.register(
                directory.database,
                directory.passwords,
                username=name,
                password=password,
                email=email,
                display_name=display_name,
                now_ms=now_ms(),
            )
            if admin:
                await accounts.promote(directory.database, user.id, Capability.ADMIN, now_ms=now_ms())
            return user

        user = _run(settings, make)
        role = " as an administrator" if admin else ""
        output.give({**_render(user), "is_admin": admin}, f"Made the account {user.username}{role} (id {user.id}).")


@app.command()
def password(
    context: typer.Context,
    name: Name,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
) -> None:
    """Give an account a new password, and end all its sessions.

    For people who lost theirs. A person known from an import alone gets their account by rookery user claim.

    Example: rookery user password alice
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        new = passwords.read(password_file, from_stdin=password_stdin)

        async def change(directory: Directory) -> User:
            user = await _find(directory, name)
            await accounts.set_password(directory.database, directory.passwords, user.id, new, now_ms=now_ms())
            return user

        user = _run(settings, change)
        output.give(_render(user), f"{user.username} has a new password; every session has ended.")


@app.command()
def promote(context: typer.Context, name: Name, capability: Which = Capability.ADMIN, as_json: AsJson = False) -> None:
    """Give an account a capability on the whole server: admin (operates it) or moderator (suspends and bans).

    A running server applies it within a second.

    Example: rookery user promote alice --capability moderator
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()

        async def grant(directory: Directory) -> tuple[User, bool]:
            user = await _find(directory, name)
            return user, await accounts.promote(directory.database, user.id, capability, now_ms=now_ms())

        user, is_new = _run(settings, grant)
        value = {**_render(user), "capability": capability.value, "changed": is_new}
        output.give(value, f"{user.username} {'is now' if is_new else 'was already'} {capability.value}.")


@app.command()
def demote(context: typer.Context, name: Name, capability: Which = Capability.ADMIN, as_json: AsJson = False) -> None:
    """Revoke a capability of an account; that of the last administrator stays.

    Example: rookery user demote alice
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()

        async def revoke(directory: Directory) -> tuple[User, bool]:
            user = await _find(directory, name)
            return user, await accounts.demote(directory.database, user.id, capability, now_ms=now_ms())

        user, was = _run(settings, revoke)
        value = {**_render(user), "capability": capability.value, "changed": was}
        output.give(value, f"{user.username} {'is no longer' if was else 'was not'} {capability.value}.")


@app.command()
def suspend(
    context: typer.Context,
    name: Name,
    reason: Annotated[str, typer.Option(help="The reason; it is kept in the audit log.")],
    as_json: AsJson = False,
) -> None:
    """Suspend an account until it is reinstated, and end all its sessions.

    A running server refuses its tokens within a second.

    Example: rookery user suspend mallory --reason spam
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()

        async def close(directory: Directory) -> User:
            user = await _find(directory, name)
            await accounts.suspend(directory.database, user.id, reason=reason, now_ms=now_ms())
            return await _find(directory, name)

        user = _run(settings, close)
        output.give(_render(user), f"{user.username} is suspended; every session has ended.")


@app.command()
def reinstate(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Reinstate a suspended account.

    Example: rookery user reinstate mallory
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()

        async def reopen(directory: Directory) -> User:
            user = await _find(directory, name)
            await accounts.reinstate(directory.database, user.id, now_ms=now_ms())
            return await _find(directory, name)

        user = _run(settings, reopen)
        output.give(_render(user), f"{user.username} is active.")


@app.command(name="list")
def list_(
    context: typer.Context,
    after: Annotated[int, typer.Option(help="Begin after the account with this id.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="List so many at most.", min=1, max=100_000)] = LIST_MAX,
    as_json: AsJson = False,
) -> None:
    """List accounts, the oldest first.

    Example: rookery user list --limit 50
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()

        async def look(directory: Directory) -> tuple[list[User], dict[Capability, list[int]]]:
            found: list[User] = []
            async with directory.database.read() as reader:
                while len(found) < limit:
                    last = found[-1].id if found else after
                    page = await users.list_page(reader, after=last, limit=limit - len(found))
                    if not page:
                        break
                    found += page
                held = {each: [*map(int, await capabilities.holders(reader, each))] for each in Capability}
            return found, held

        found, held = _run(settings, look)
        may = {user.id: [each.value for each in Capability if user.id in held[each]] for user in found}
        rows = [
            (user.id, user.username, user.display_name, user.status, ", ".join(may[user.id]), at(user.created_at))
            for user in found
        ]
        value = [{**_render(user), "capabilities": may[user.id]} for user in found]
        output.give(value, table("id", "username", "shown as", "status", "may", "since", rows=rows))
        if len(found) == limit:
            output.note(f"There may be more: --after {found[-1].id}")


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show an account: its capabilities, whether it has a password, its live sessions and its rooms.

    Example: rookery user show alice
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()

        async def look(directory: Directory) -> tuple[User, dict[str, Any]]:
            async with directory.database.read() as reader:
                user = await users.find_named(reader, name)
                return user, {
                    "capabilities": sorted(await capabilities.of_user(reader, user.id)),
                    "has_password": await credentials.find(reader, user.id) is not None,
                    "sessions": len(await sessions.of_user(reader, user.id, now_ms=now_ms())),
                    "rooms": [room.name or str(room.id) for room in await room_pages.of_user(reader, user.id)],
                }

        user, more = _run(settings, look)
        shown = facts(
            [
                ("id", user.id),
                ("username", user.username),
                ("shown as", user.display_name),
                ("e-mail", user.email),
                ("status", user.status),
                ("may", ", ".join(more["capabilities"])),
                ("password", "set" if more["has_password"] else "none: nobody can log in"),
                ("sessions", counted(more["sessions"], "live session")),
                ("rooms", ", ".join(more["rooms"])),
                ("since", at(user.created_at)),
                ("last login", at(user.last_login_at)),
            ]
        )
        output.give(_render(user) | more, shown)


def _render(user: User) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "username": user.username,
        "display_name": user.display_name,
        "email": user.email,
        "status": user.status,
        "is_bot": user.is_bot,
        "is_anonymous": user.is_anonymous,
        "created_at": at(user.created_at),
        "last_login_at": at(user.last_login_at),
    }
