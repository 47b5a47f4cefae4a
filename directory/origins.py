"""Where a request came from, for sessions and the audit log."""

from dataclasses import dataclass
from typing import Final

USER_AGENT_CHARS_MAX: Final = 512
IP_CHARS_MAX: Final = 45
"""The longest textual IPv6 address, with an embedded IPv4 one."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The client's address and what its software calls itself, cut to what is kept of them."""

    ip: str | None = None
    user_agent: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ip", self.ip and self.ip[:IP_CHARS_MAX])
        object.__setattr__(self, "user_agent", self.user_agent and self.user_agent[:USER_AGENT_CHARS_MAX])


NOWHERE: Final = Origin()
"""The command line, and what the server does by itself."""
