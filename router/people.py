"""Public profiles of users by their ids, as clients show them."""

from collections.abc import Iterable

from directory.caches import ProfileCache
from ids import UserId
from router.schemas import people as schemas
from router.schemas.people import UserView


class People:
    """Rendering of user ids as profiles."""

    def __init__(self, profiles: ProfileCache) -> None:
        self._profiles = profiles

    async def of(self, user_ids: Iterable[UserId]) -> list[UserView]:
        """Return the users with these ids, each once; unknown ids are left out."""
        profiles = await self._profiles.load(set(user_ids))
        return [schemas.user(profile) for profile in profiles.values()]
