"""Changes of accounts that span tables: each is one transaction, together with its line in the audit log.

Failed logins are not audited: the log can never shrink, so strangers could fill the disk with it, and a line for
known users only would take time that distinguishes them from unknown ones. The server's log has them.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import ids
from directory import audit, capabilities, credentials, errors, global_bans, sessions, users
from directory.capabilities import Capability
from directory.client_info import NO_CLIENT, ClientInfo
from directory.credentials import Admits, Passwords
from directory.database import Database, Writer
from directory.directory import Directory
from directory.global_bans import GlobalBan
from directory.sessions import Session
from directory.users import User

# No letter or digit that looks like another: two guests never have confusable names by accident.
GUEST_ALPHABET: Final = "abcdefghjkmpqtuxyz2346789"
GUEST_CHARS: Final = 12
"""Random characters of a guest's name."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user with a new session; the token is returned only here."""

    user: User
    token: str
    session: Session


async def register(
    database: Database,
    passwords: Passwords,
    *,
    username: str,
    password: str,
    email: str | None = None,
    display_name: str | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> User:
    """Make an account with a password.

    Raises BadPasswordError, HashingBusyError and what users.create raises.
    """
    password_hash = await passwords.hash(password)
    async with database.write() as writer:
        return await _register(writer, username, password_hash, email, display_name, client, now_ms)


async def sign_up(
    directory: Directory,
    *,
    username: str,
    password: str,
    email: str | None = None,
    display_name: str | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> SignedIn:
    """Make an account and start its first session; raises what `register` raises."""
    password_hash = await directory.passwords.hash(password)
    async with directory.database.write() as writer:
        user = await _register(writer, username, password_hash, email, display_name, client, now_ms)
        return await _sign_in(writer, user.id, directory.session_ms, client, now_ms)


async def _register(
    writer: Writer,
    username: str,
    password_hash: str,
    email: str | None,
    display_name: str | None,
    client: ClientInfo,
    now_ms: int,
) -> User:
    user = await users.create(writer, username=username, email=email, display_name=display_name, now_ms=now_ms)
    await credentials.store(writer, user.id, password_hash, now_ms=now_ms)
    await audit.append(
        writer, audit.Action.USER_REGISTERED, by=user.id, resource=("user", user.id), client=client, now_ms=now_ms
    )
    return user


async def _sign_in(writer: Writer, user_id: ids.UserId, session_ms: int, client: ClientInfo, now_ms: int) -> SignedIn:
    token, session = await sessions.start(writer, user_id, session_ms=session_ms, now_ms=now_ms, client=client)
    await users.set_last_login(writer, user_id, now_ms=now_ms)
    return SignedIn(await users.find(writer, user_id), token, session)


async def start_anonymous(
    directory: Directory, *, display_name: str | None = None, client: ClientInfo = NO_CLIENT, now_ms: int
) -> SignedIn:
    """Make a guest's account, without password, and start its only session."""
    username = "guest_" + "".join(secrets.choice(GUEST_ALPHABET) for _ in range(GUEST_CHARS))
    async with directory.database.write() as writer:
        user = await users.create(
            writer,
            username=username,
            display_name=display_name,
            is_anonymous=True,
            is_named_by_system=True,
            now_ms=now_ms,
        )
        resource = ("user", user.id)
        await audit.append(
            writer, audit.Action.USER_ANONYMOUS, by=user.id, resource=resource, client=client, now_ms=now_ms
        )
        return await _sign_in(writer, user.id, directory.session_ms, client, now_ms)


async def log_in(
    directory: Directory,
    *,
    name: str,
    password: str,
    client: ClientInfo = NO_CLIENT,
    admits: Admits | None = None,
    now_ms: int,
) -> SignedIn:
    """Start a session for a username or e-mail address and a password.

    `admits` is asked before the password is looked at; where it says no, the right one is as wrong as any other.

    Raises BadCredentialsError for a wrong password as for unknown and deleted users, after the same work; with the
    right password also AccountSuspendedError and AccountBannedError. Raises HashingBusyError when overloaded.
    """
    async with directory.database.read() as reader:
        login = await credentials.find_login(reader, name)
        user_id = None if login is None else login.user_id
        is_admitted = admits is None or admits(user_id, await audit.addresses_of(reader, user_id))
    password_hash = None if login is None else login.password_hash
    is_right = await directory.passwords.verify(password_hash, password)
    if not is_right or not is_admitted or login is None or password_hash is None:
        raise errors.BadCredentialsError
    outdated = directory.passwords.is_outdated(password_hash)
    stronger_hash = await directory.passwords.rehash(password) if outdated else None
    async with directory.database.write() as writer:
        await _refuse_barred(writer, name, password_hash, now_ms)
        if stronger_hash is not None:
            await credentials.store(writer, login.user_id, stronger_hash, now_ms=now_ms)
        resource = ("user", login.user_id)
        await audit.append(
            writer, audit.Action.USER_LOGGED_IN, by=login.user_id, resource=resource, client=client, now_ms=now_ms
        )
        return await _sign_in(writer, login.user_id, directory.session_ms, client, now_ms)


async def _refuse_barred(writer: Writer, name: str, password_hash: str, now_ms: int) -> None:
    """Check again inside the transaction: hashing takes long enough for an account to change."""
    login = await credentials.find_login(writer, name)
    if login is None or login.password_hash != password_hash:
        raise errors.BadCredentialsError
    if login.is_suspended:
        raise errors.AccountSuspendedError
    ban = await global_bans.find(writer, login.user_id, now_ms=now_ms)
    if ban is not None:
        raise errors.AccountBannedError(ban.reason, ban.expires_at)


async def log_out(database: Database, token_hash: bytes) -> bool:
    """End one session; False when it had ended already."""
    async with database.write() as writer:
        return await sessions.end(writer, token_hash)


async def log_out_everywhere(database: Database, user_id: ids.UserId) -> int:
    """End every session of a user; returns their number."""
    async with database.write() as writer:
        return await sessions.end_all(writer, user_id)


async def change_password(
    directory: Directory,
    user_id: ids.UserId,
    *,
    old: str,
    new: str,
    keep: bytes | None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> None:
    """Replace a password, given the old one, and end every session but the one with the token hash `keep`.

    Raises BadCredentialsError, BadPasswordError and HashingBusyError.
    """
    async with directory.database.read() as reader:
        old_hash = await credentials.find(reader, user_id)
    if not await directory.passwords.verify(old_hash, old):
        raise errors.BadCredentialsError
    new_hash = await directory.passwords.hash(new)
    async with directory.database.write() as writer:
        if await credentials.find(writer, user_id) != old_hash:
            raise errors.BadCredentialsError
        await credentials.store(writer, user_id, new_hash, now_ms=now_ms)
        await sessions.end_all(writer, user_id, keep=keep)
        await _audit(writer, audit.Action.USER_PASSWORD_CHANGED, user_id, by=user_id, client=client, now_ms=now_ms)


async def set_password(
    database: Database,
    passwords: Passwords,
    user_id: ids.UserId,
    new: str,
    *,
    by: ids.UserId | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> None:
    """Give a user a password without knowing the old one, and end every session: for operators.

    Raises UserNotFoundError, BadPasswordError and HashingBusyError.
    """
    new_hash = await passwords.hash(new)
    async with database.write() as writer:
        await users.find(writer, user_id)
        await credentials.store(writer, user_id, new_hash, now_ms=now_ms)
        await sessions.end_all(writer, user_id)
        await _audit(writer, audit.Action.USER_PASSWORD_SET, user_id, by=by, client=client, now_ms=now_ms)


async def promote(
    database: Database,
    user_id: ids.UserId,
    capability: Capability,
    *,
    by: ids.UserId | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> bool:
    """Grant a user a platform-wide capability; False when the user had it. Raises UserNotFoundError."""
    async with database.write() as writer:
        await users.find(writer, user_id)
        granted = await capabilities.grant(writer, user_id, capability, by=by, now_ms=now_ms)
        if granted:
            detail = {"capability": capability.value}
            await _audit(
                writer, audit.Action.CAPABILITY_GRANTED, user_id, by=by, detail=detail, client=client, now_ms=now_ms
            )
        return granted


async def demote(
    database: Database,
    user_id: ids.UserId,
    capability: Capability,
    *,
    by: ids.UserId | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> bool:
    """Revoke a capability of a user; False when the user did not have it. Raises LastAdminError."""
    async with database.write() as writer:
        if capability is Capability.ADMIN:
            await _refuse_last_admin(writer, user_id, now_ms)
        revoked = await capabilities.revoke(writer, user_id, capability)
        if revoked:
            detail = {"capability": capability.value}
            await _audit(
                writer, audit.Action.CAPABILITY_REVOKED, user_id, by=by, detail=detail, client=client, now_ms=now_ms
            )
        return revoked


async def suspend(
    database: Database,
    user_id: ids.UserId,
    *,
    reason: str,
    by: ids.UserId | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> bool:
    """Suspend an account until it is reinstated, and end its sessions; False when it was suspended already.

    Raises UserNotFoundError (deleted ones too), OutrankedError and LastAdminError.
    """
    async with database.write() as writer:
        user = await _open_for(writer, user_id, by)
        if user.status == "suspended":
            return False
        await _refuse_last_admin(writer, user_id, now_ms)
        await users.set_status(writer, user_id, "suspended", now_ms=now_ms)
        await sessions.end_all(writer, user_id)
        detail = {"reason": reason}
        await _audit(writer, audit.Action.USER_SUSPENDED, user_id, by=by, detail=detail, client=client, now_ms=now_ms)
        return True


async def reinstate(
    database: Database,
    user_id: ids.UserId,
    *,
    by: ids.UserId | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> bool:
    """Reopen a suspended account; False when it was open. Raises UserNotFoundError (deleted ones too) and
    OutrankedError."""
    async with database.write() as writer:
        user = await _open_for(writer, user_id, by)
        if user.status == "active":
            return False
        await users.set_status(writer, user_id, "active", now_ms=now_ms)
        await _audit(writer, audit.Action.USER_REINSTATED, user_id, by=by, client=client, now_ms=now_ms)
        return True


async def ban(
    database: Database,
    user_id: ids.UserId,
    *,
    reason: str,
    expires_at: int | None = None,
    by: ids.UserId | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> GlobalBan:
    """Ban a user from the whole platform and end the sessions; a ban that exists is replaced.

    Raises UserNotFoundError (deleted ones too), OutrankedError, LastAdminError and ConstraintError.
    """
    ban = GlobalBan(user_id, reason, by, now_ms, expires_at)
    async with database.write() as writer:
        await _open_for(writer, user_id, by)
        before = await global_bans.find(writer, user_id, now_ms=now_ms)
        if before is not None and (before.reason, before.expires_at) == (reason, expires_at):
            return before
        await _refuse_last_admin(writer, user_id, now_ms)
        await global_bans.add(writer, user_id, reason=reason, by=by, expires_at=expires_at, now_ms=now_ms)
        await sessions.end_all(writer, user_id)
        detail = {"reason": reason, "expires_at": expires_at}
        await _audit(writer, audit.Action.USER_BANNED, user_id, by=by, detail=detail, client=client, now_ms=now_ms)
    return ban


async def unban(
    database: Database,
    user_id: ids.UserId,
    *,
    by: ids.UserId | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> bool:
    """End a ban; False when there was none. Raises UserNotFoundError (deleted ones too) and OutrankedError."""
    async with database.write() as writer:
        await _open_for(writer, user_id, by)
        before = await global_bans.find(writer, user_id, now_ms=now_ms)
        if before is None:
            return False
        await global_bans.lift(writer, user_id)
        detail = {"reason": before.reason, "expires_at": before.expires_at}
        await _audit(writer, audit.Action.USER_UNBANNED, user_id, by=by, detail=detail, client=client, now_ms=now_ms)
        return True


async def _open_for(writer: Writer, user_id: ids.UserId, by: ids.UserId | None) -> User:
    """Return a user whom `by` may suspend and ban; the operator at the command line (None) may everybody."""
    user = await users.find(writer, user_id)
    if user.status == "deleted":
        raise errors.UserNotFoundError(user_id)
    if by is not None:
        held = await capabilities.of_user(writer, by)
        is_over = Capability.ADMIN in held or (
            Capability.MODERATOR in held and not await capabilities.of_user(writer, user_id)
        )
        if by == user_id or not is_over:
            raise errors.OutrankedError(user_id)
    return user


async def _refuse_last_admin(writer: Writer, user_id: ids.UserId, now_ms: int) -> None:
    """Ensure that at least one administrator stays neither suspended nor banned."""
    if Capability.ADMIN not in await capabilities.of_user(writer, user_id):
        return
    if not await capabilities.is_held_beside(writer, user_id, Capability.ADMIN, now_ms=now_ms):
        raise errors.LastAdminError


async def _audit(
    writer: Writer,
    action: audit.Action,
    user_id: ids.UserId,
    *,
    by: ids.UserId | None,
    detail: Mapping[str, str | int | None] | None = None,
    client: ClientInfo,
    now_ms: int,
) -> None:
    resource = ("user", user_id)
    await audit.append(writer, action, by=by, resource=resource, metadata=detail, client=client, now_ms=now_ms)
