"""The client of a request as sessions and the audit log keep it: its address and its user agent."""

from dataclasses import dataclass
from typing import Final

USER_AGENT_CHARS_MAX: Final = 512
"""Characters of a client's name that a session keeps; the rest is cut."""
IP_CHARS_MAX: Final = 45
"""The longest textual IPv6 address, with an embedded IPv4 one."""


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """The client's address and user agent, cut to the lengths that are kept."""

    ip: str | None = None
    user_agent: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ip", self.ip and self.ip[:IP_CHARS_MAX])
        object.__setattr__(self, "user_agent", self.user_agent and self.user_agent[:USER_AGENT_CHARS_MAX])


NO_CLIENT: Final = ClientInfo()
"""No request: acts of the command line, and of the server by itself."""
