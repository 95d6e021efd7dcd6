"""Who asks: the session and the address of a request, found out once, at the edge."""

from dataclasses import dataclass, field

from saltapi.errors import AuthenticationFailed
from saltapi.types import Session, Token


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Whose request it is.

    With a session it has been looked up, and its address has been checked for it. Without one it
    is a stranger's, whose commands bring their own credentials.
    """

    peer: str
    """The address that the request comes from; "" for a unix socket."""
    session: Session | None = None
    bearer: Token = field(default="", repr=False)
    """A stranger's token of the header `Authorization`, for what has no credentials of its own."""

    def known(self) -> Session:
        """
        Return the session.

        Raises:
            AuthenticationFailed: It is a stranger.
        """
        if self.session is None:
            raise AuthenticationFailed("No authentication credentials given")
        return self.session
