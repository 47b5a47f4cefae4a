"""Signing up and in, and one's own account."""

from dataclasses import dataclass
from typing import Any, cast

from directory import accounts, capabilities, sessions, user_settings, users
from directory.accounts import SignedIn
from directory.directory import Directory
from directory.sessions import Viewer
from directory.user_settings import SettingsFields
from directory.users import ProfileFields
from router import auth
from router.errors import NoRouteError, NotAllowedError
from router.scopes import Scope
from router.table import Call, Gate, Reply, Route
from router.views import accounts as views
from router.views import people as people_views
from router.views.accounts import MeView, SessionListView, SettingsView, SignedInView
from router.views.people import UserView
from router.wire.accounts import Anonymous, ChangePassword, LogIn, Register, UpdateProfile, UpdateSettings
from router.wire.fields import Nothing

ME = "/v1/users/me"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The endpoints and what they need."""

    directory: Directory
    registration_is_open: bool

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, guessable = "accounts", Gate.CREDENTIALS
        return (
            Route(
                "POST", "/v1/auth/register", self.register, "Sign up", tag, SignedInView, 201, Register,
                gate=guessable, refusals=(403, 409),
            ),
            Route(
                "POST", "/v1/auth/login", self.log_in, "Sign in", tag, SignedInView, 201, LogIn,
                gate=guessable, refusals=(401, 403),
            ),
            Route(
                "POST", "/v1/auth/anonymous", self.anonymous, "Begin as a guest", tag, SignedInView, 201, Anonymous,
                gate=guessable, refusals=(403,),
            ),
            Route("POST", "/v1/auth/logout", self.log_out, "Sign out here", tag, None, 204),
            Route("POST", "/v1/auth/logout-all", self.log_out_everywhere, "Sign out everywhere", tag, None, 204),
            Route("GET", ME, self.me, "My account", tag, MeView, scope=Scope.USERS_READ),
            Route("PATCH", ME, self.update, "Change my profile", tag, MeView, takes=UpdateProfile),
            Route("POST", ME + "/password", self.change_password, "Change my password", tag, None, 204, ChangePassword),
            Route("GET", ME + "/settings", self.settings, "My settings", tag, SettingsView),
            Route(
                "PATCH", ME + "/settings", self.update_settings, "Change my settings", tag, SettingsView,
                takes=UpdateSettings,
            ),
            Route("GET", ME + "/sessions", self.sessions, "My sessions", tag, SessionListView),
            Route("DELETE", ME + "/sessions/{session_id}", self.end_session, "End a session of mine", tag, None, 204),
            Route("GET", "/v1/users/{user_id}", self.user, "Look at a user", tag, UserView, scope=Scope.USERS_READ),
        )  # fmt: skip

    async def register(self, call: Call[Register, Nothing]) -> Reply:
        """Make an account and sign in."""
        self._refuse_when_closed()
        done = await accounts.sign_up(
            self.directory,
            username=call.body.username,
            password=call.body.password,
            email=call.body.email,
            display_name=call.body.display_name,
            origin=call.origin,
            now_ms=call.now_ms,
        )
        return Reply(views.signed_in(done, frozenset(), tells_token=True), 201)

    async def log_in(self, call: Call[LogIn, Nothing]) -> Reply:
        """Sign in with a username or e-mail address and a password."""
        done = await accounts.log_in(
            self.directory,
            name=call.body.username,
            password=call.body.password,
            origin=call.origin,
            now_ms=call.now_ms,
        )
        return await self._signed_in(done, in_cookie=call.body.cookie)

    async def anonymous(self, call: Call[Anonymous, Nothing]) -> Reply:
        """Begin as a guest: an account without a password, for as long as its only session lives."""
        self._refuse_when_closed()
        done = await accounts.start_anonymous(
            self.directory, display_name=call.body.display_name, origin=call.origin, now_ms=call.now_ms
        )
        return Reply(views.signed_in(done, frozenset(), tells_token=True), 201)

    def _refuse_when_closed(self) -> None:
        if not self.registration_is_open:
            raise NotAllowedError("Registration is closed on this server; ask its administrator for an account.")

    async def _signed_in(self, done: SignedIn, *, in_cookie: bool) -> Reply:
        async with self.directory.database.read() as reader:
            granted = await capabilities.of_user(reader, done.user.id)
        view = views.signed_in(done, granted, tells_token=not in_cookie)
        headers = (auth.set_cookie(done.token, self.directory.session_ms // 1000),) if in_cookie else ()
        return Reply(view, 201, headers)

    async def log_out(self, call: Call[Nothing, Nothing]) -> Reply:
        """End this session."""
        await accounts.log_out(self.directory.database, _viewer(call).token_hash)
        return Reply(status=204, headers=(auth.clear_cookie(),))

    async def log_out_everywhere(self, call: Call[Nothing, Nothing]) -> Reply:
        """End every session of the caller, this one too."""
        await accounts.log_out_everywhere(self.directory.database, call.user_id)
        return Reply(status=204, headers=(auth.clear_cookie(),))

    async def me(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return one's own account."""
        async with self.directory.database.read() as reader:
            user = await users.find(reader, call.user_id)
        return Reply(views.me(user, _viewer(call).capabilities))

    async def update(self, call: Call[UpdateProfile, Nothing]) -> Reply:
        """Change what was sent of one's profile."""
        fields = cast(ProfileFields, call.body.model_dump(exclude_unset=True))
        async with self.directory.database.write() as writer:
            user = await users.update_profile(writer, call.user_id, fields, now_ms=call.now_ms)
        return Reply(views.me(user, _viewer(call).capabilities))

    async def change_password(self, call: Call[ChangePassword, Nothing]) -> Reply:
        """Change one's password; every other session ends."""
        await accounts.change_password(
            self.directory,
            call.user_id,
            old=call.body.current_password,
            new=call.body.new_password,
            keep=_viewer(call).token_hash,
            origin=call.origin,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def settings(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return one's settings."""
        async with self.directory.database.read() as reader:
            return Reply(views.settings(await user_settings.find(reader, call.user_id)))

    async def update_settings(self, call: Call[UpdateSettings, Nothing]) -> Reply:
        """Change what was sent of one's settings."""
        sent: dict[str, Any] = call.body.model_dump(exclude_none=True)
        async with self.directory.database.write() as writer:
            row = await user_settings.update(writer, call.user_id, cast(SettingsFields, sent), now_ms=call.now_ms)
        return Reply(views.settings(row))

    async def sessions(self, call: Call[Nothing, Nothing]) -> Reply:
        """List one's live sessions."""
        viewer = _viewer(call)
        async with self.directory.database.read() as reader:
            rows = await sessions.of_user(reader, viewer.user_id, now_ms=call.now_ms)
        answer: SessionListView = {"sessions": [views.session(row, viewer.token_hash) for row in rows]}
        return Reply(answer)

    async def end_session(self, call: Call[Nothing, Nothing]) -> Reply:
        """End one of one's own sessions."""
        async with self.directory.database.write() as writer:
            await sessions.end_one(writer, call.user_id, call.path["session_id"])
        return Reply(status=204)

    async def user(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return what everybody may see of a user."""
        user_id = call.path["user_id"]
        found = await self.directory.profiles.load([user_id])
        if user_id not in found:
            raise NoRouteError("There is no such user.")
        return Reply(people_views.user(found[user_id]))


def _viewer(call: Call[Any, Any]) -> Viewer:
    assert call.viewer is not None, "the gate lets nobody in without a session"
    return call.viewer
