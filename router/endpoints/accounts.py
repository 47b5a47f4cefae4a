"""Endpoints of accounts: registration, sign-in, and the caller's own profile, sessions and settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from directory import accounts, capabilities, sessions, user_settings, users
from directory.accounts import SignedIn
from directory.user_settings import SettingsFields
from directory.users import ProfileFields
from router import auth
from router.context import AppContext
from router.errors import NoRouteError, NotAllowedError
from router.routes import Access, Call, Reply, Route
from router.schemas import accounts as schemas
from router.schemas import people as people_schemas
from router.schemas.accounts import (
    Anonymous,
    ChangePassword,
    LogIn,
    MeView,
    Register,
    SessionListView,
    SettingsView,
    SignedInView,
    UpdateProfile,
    UpdateSettings,
)
from router.schemas.fields import Nothing
from router.schemas.people import UserView
from router.scopes import Scope

ME = "/v1/users/me"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, guessable = "accounts", Access.CREDENTIALS
        return (
            Route(
                "POST", "/v1/auth/register", self.register, "Register an account", tag, SignedInView, 201, Register,
                access=guessable, refusals=(403, 409),
            ),
            Route(
                "POST", "/v1/auth/login", self.log_in, "Sign in", tag, SignedInView, 201, LogIn,
                access=guessable, refusals=(401, 403),
            ),
            Route(
                "POST", "/v1/auth/anonymous", self.anonymous, "Register a guest", tag, SignedInView, 201, Anonymous,
                access=guessable, refusals=(403,),
            ),
            Route("POST", "/v1/auth/logout", self.log_out, "Sign out", tag, None, 204),
            Route("POST", "/v1/auth/logout-all", self.log_out_everywhere, "Sign out everywhere", tag, None, 204),
            Route("GET", ME, self.me, "Get my account", tag, MeView, scope=Scope.USERS_READ),
            Route("PATCH", ME, self.update, "Change my profile", tag, MeView, takes=UpdateProfile),
            Route("POST", ME + "/password", self.change_password, "Change my password", tag, None, 204, ChangePassword),
            Route("GET", ME + "/settings", self.settings, "Get my settings", tag, SettingsView),
            Route(
                "PATCH", ME + "/settings", self.update_settings, "Change my settings", tag, SettingsView,
                takes=UpdateSettings,
            ),
            Route("GET", ME + "/sessions", self.sessions, "List my sessions", tag, SessionListView),
            Route("DELETE", ME + "/sessions/{session_id}", self.end_session, "End one of my sessions", tag, None, 204),
            Route("GET", "/v1/users/{user_id}", self.user, "Get a user", tag, UserView, scope=Scope.USERS_READ),
        )  # fmt: skip

    async def register(self, call: Call[Register, Nothing]) -> Reply:
        """Create an account and sign in. Returns 201 with the session's token. 403 when registration is closed."""
        self._refuse_when_closed()
        done = await accounts.sign_up(
            self.context.directory,
            username=call.body.username,
            password=call.body.password,
            email=call.body.email,
            display_name=call.body.display_name,
            client=call.client,
            now_ms=call.now_ms,
        )
        return Reply(schemas.signed_in(done, frozenset(), tells_token=True), 201)

    async def log_in(self, call: Call[LogIn, Nothing]) -> Reply:
        """Sign in with a username or e-mail address and a password. Returns 201 with a session."""
        name = call.body.username
        with self.context.sign_ins.attempt(name, call.address, call.network, call.viewer) as attempt:
            done = await accounts.log_in(
                self.context.directory,
                name=name,
                password=call.body.password,
                client=call.client,
                admits=attempt.admits,
                now_ms=call.now_ms,
            )
        self.context.gateway.own_state.sessions(done.user.id)
        return await self._signed_in(done, in_cookie=call.body.cookie)

    async def anonymous(self, call: Call[Anonymous, Nothing]) -> Reply:
        """Create a guest account and sign in. A guest has no password, and its account lasts as long as its only
        session."""
        self._refuse_when_closed()
        done = await accounts.start_anonymous(
            self.context.directory, display_name=call.body.display_name, client=call.client, now_ms=call.now_ms
        )
        return Reply(schemas.signed_in(done, frozenset(), tells_token=True), 201)

    def _refuse_when_closed(self) -> None:
        if not self.context.options.registration_is_open:
            raise NotAllowedError("Registration is closed on this server; ask its administrator for an account.")

    async def _signed_in(self, done: SignedIn, *, in_cookie: bool) -> Reply:
        async with self.context.directory.database.read() as reader:
            granted = await capabilities.of_user(reader, done.user.id)
        view = schemas.signed_in(done, granted, tells_token=not in_cookie)
        headers = (auth.set_cookie(done.token, self.context.directory.session_ms // 1000),) if in_cookie else ()
        return Reply(view, 201, headers)

    async def log_out(self, call: Call[Nothing, Nothing]) -> Reply:
        """Sign out: end the session of this request."""
        await accounts.log_out(self.context.directory.database, call.signed_in.token_hash)
        self.context.gateway.own_state.sessions(call.user_id)
        return Reply(status=204, headers=(auth.clear_cookie(),))

    async def log_out_everywhere(self, call: Call[Nothing, Nothing]) -> Reply:
        """End every session of the caller, including the one of this request."""
        await accounts.log_out_everywhere(self.context.directory.database, call.user_id)
        return Reply(status=204, headers=(auth.clear_cookie(),))

    async def me(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the caller's own account."""
        async with self.context.directory.database.read() as reader:
            user = await users.find(reader, call.user_id)
        return Reply(schemas.me(user, call.signed_in.capabilities))

    async def update(self, call: Call[UpdateProfile, Nothing]) -> Reply:
        """Change the caller's profile. Only the fields that are sent change."""
        fields = cast(ProfileFields, call.body.model_dump(exclude_unset=True))
        async with self.context.directory.database.write() as writer:
            user = await users.update_profile(writer, call.user_id, fields, now_ms=call.now_ms)
        view = schemas.me(user, call.signed_in.capabilities)
        self.context.gateway.own_state.profile(call.user_id, _picked(view, fields))
        return Reply(view)

    async def change_password(self, call: Call[ChangePassword, Nothing]) -> Reply:
        """Change the caller's password. Every other session ends."""
        with self.context.sign_ins.confirmation(call.signed_in, call.address):
            await accounts.change_password(
                self.context.directory,
                call.user_id,
                old=call.body.current_password,
                new=call.body.new_password,
                keep=call.signed_in.token_hash,
                client=call.client,
                now_ms=call.now_ms,
            )
        self.context.gateway.own_state.sessions(call.user_id)
        return Reply(status=204)

    async def settings(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the caller's settings."""
        async with self.context.directory.database.read() as reader:
            return Reply(schemas.settings(await user_settings.find(reader, call.user_id)))

    async def update_settings(self, call: Call[UpdateSettings, Nothing]) -> Reply:
        """Change the caller's settings. Only the fields that are sent change."""
        sent: dict[str, Any] = call.body.model_dump(exclude_none=True)
        async with self.context.directory.database.write() as writer:
            row = await user_settings.update(writer, call.user_id, cast(SettingsFields, sent), now_ms=call.now_ms)
        view = schemas.settings(row)
        self.context.gateway.own_state.settings(call.user_id, _picked(view, sent))
        return Reply(view)

    async def sessions(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the caller's live sessions."""
        viewer = call.signed_in
        async with self.context.directory.database.read() as reader:
            rows = await sessions.of_user(reader, viewer.user_id, now_ms=call.now_ms)
        answer: SessionListView = {"sessions": [schemas.session(row, viewer.token_hash) for row in rows]}
        return Reply(answer)

    async def end_session(self, call: Call[Nothing, Nothing]) -> Reply:
        """End one of the caller's sessions."""
        async with self.context.directory.database.write() as writer:
            await sessions.end_one(writer, call.user_id, call.session_id)
        self.context.gateway.own_state.sessions(call.user_id)
        return Reply(status=204)

    async def user(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the public profile of a user."""
        user_id = call.target_id
        found = await self.context.directory.profiles.load([user_id])
        if user_id not in found:
            raise NoRouteError("There is no such user.")
        return Reply(people_schemas.user(found[user_id]))


def _picked(view: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return these fields of a view."""
    return {name: view[name] for name in names}
