"""Who may come in: whoever brings the token, which was told once, at the start.

The token buys a session. Its cookie cannot be read by scripts and is not sent by other sites;
each session has a second secret, which is in every form of ours and in nobody else's. Without a
token to bring (`Door(None)`) everybody may look, and nobody can change anything.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

IDLE_S: Final = 12 * 3600.0
SESSIONS_MAX: Final = 100


@dataclass(slots=True, kw_only=True)
class Session:
    """One browser that came in.

    Attributes:
        csrf: What its forms must bring; "" for one that may only look.
        author: Who it said it was, when it did something.
        used_at: When it last asked for something, on the door's clock.
        news: What is to be told on the next screen: whether it went well, and the text.
    """

    csrf: str
    author: str = ""
    used_at: float = 0.0
    news: list[tuple[bool, str]] = field(default_factory=list)

    @property
    def may_act(self) -> bool:
        """Whether it may change anything."""
        return bool(self.csrf)


class Door:
    """The token, and who has brought it. `now` is a clock in seconds that never runs back."""

    def __init__(self, token: str | None, now: Callable[[], float]) -> None:
        self._token = token
        self._now = now
        self._sessions: dict[str, Session] = {}

    def let_in(self, token: str) -> str | None:
        """A new session's name for whoever brings the token; else None."""
        if self._token is None or not _same(token.strip(), self._token):
            return None
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda n: self._sessions[n].used_at)]
        name = secrets.token_urlsafe(32)
        self._sessions[name] = Session(csrf=secrets.token_urlsafe(32), used_at=self._now())
        return name

    def session(self, name: str) -> Session | None:
        """Whose session that is; None for nobody's, and for one that was idle for too long."""
        if self._token is None:
            return Session(csrf="")
        found = self._sessions.get(name)
        if found is None:
            return None
        if self._now() - found.used_at > IDLE_S:
            del self._sessions[name]
            return None
        found.used_at = self._now()
        return found

    def leave(self, name: str) -> None:
        """End a session."""
        self._sessions.pop(name, None)


def is_own(session: Session, given: str) -> bool:
    """Whether a form is one that this session was given."""
    return session.may_act and _same(given, session.csrf)


def _same(given: str, ours: str) -> bool:
    return secrets.compare_digest(given.encode(errors="replace"), ours.encode())
