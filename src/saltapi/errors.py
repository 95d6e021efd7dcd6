"""
The one family of errors, each with its HTTP status.

    SaltApiError                      500 internal
    ├── BadRequest                    400 bad_request
    │   ├── InvalidField              400 invalid_field       says which part of the request
    │   ├── InvalidChunk              400 invalid_chunk       says which chunk and which key
    │   └── ClientDisabled            400 client_disabled     says which line to add
    ├── AuthenticationFailed          401 authentication
    ├── AuthorizationFailed           401 authorization       401 as Salt's own netapi does
    ├── AddressRefused                403 address_refused
    ├── OriginRefused                 403 origin_refused
    ├── CertificateRefused            403 certificate_refused
    ├── NotFound                      404 not_found
    │   └── NoMinionsMatched          404 no_minions_matched
    ├── MethodNotAllowed              405 method_not_allowed
    ├── NotAcceptable                 406 not_acceptable
    ├── TooSlow                       408 too_slow
    ├── Conflict                      409 conflict
    │   ├── ConfirmationNeeded        409 confirmation_needed shows what would run
    │   ├── StillStarting             409 still_starting      carries retry_after_seconds
    │   └── OutcomeUnknown            409 outcome_unknown     says which jobs to look at
    ├── PreconditionFailed            412 precondition_failed the key is not that of `If-Match`
    ├── BodyTooLarge                  413 body_too_large
    ├── KeyReused                     422 key_reused          of an Idempotency-Key
    ├── UpgradeRequired               426 upgrade_required    the URL speaks WebSocket
    ├── TooManyRequests               429 too_many_requests   carries retry_after_seconds
    ├── NotSupported                  501 not_supported
    ├── MalformedAnswer               502 malformed_answer    the master said something odd
    ├── MasterUnavailable             503 master_unavailable  carries retry_after_seconds
    │   └── MasterBusy                503 master_busy
    ├── CommandTimeout                504 timeout
    ├── WorkerFailed                  503 worker_failed       a function worker died or hung
    ├── StoreUnavailable              503 store_unavailable   carries retry_after_seconds
    ├── JobCacheUnavailable           503 job_cache_unavailable    carries retry_after_seconds
    ├── TokenStoreUnavailable         503 token_store_unavailable  carries retry_after_seconds
    ├── ProviderUnavailable           503 provider_unavailable     carries retry_after_seconds
    ├── ServiceBusy                   503 service_busy        carries retry_after_seconds
    ├── AuditUnavailable              503 audit_unavailable   carries retry_after_seconds
    └── Stopping                  503 stopping            carries retry_after_seconds

`CannotStart` stands apart: it is not an answer to a request but the reason why the daemon or
a netapi module does not run.

An error's text is a sentence for the person who sent the request. Details that could tell an
attacker something, or that nobody can act on, belong into the log.
"""

from typing import Any, ClassVar, Self


class SaltApiError(Exception):
    """Base of every error that a request can end with; its text is for the client."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retry_after_seconds: int | None = None
    index: int | None = None
    """Position of the chunk that failed in its lowstate, from 0; None if it stood alone."""
    completed: tuple[Any, ...] = ()
    """The results of the chunks that had run before this error ended the lowstate."""

    def __str__(self) -> str:
        where = "" if self.index is None else f"Chunk {self.index + 1}: "
        return f"{where}{super().__str__()}"


class BadRequest(SaltApiError):
    """The request cannot be understood; nothing was run."""

    status = 400
    code = "bad_request"


class InvalidField(BadRequest):
    """A parameter of the URL, or a field of the body, is wrong; the sentence says which."""

    code = "invalid_field"

    def __init__(self, problem: str, *, key: str | None = None) -> None:
        """
        Args:
            problem: What is wrong and what to change, as a sentence.
            key: The offending parameter or field.
        """
        super().__init__(problem)
        self.key = key


class InvalidChunk(BadRequest):
    """One chunk of the lowstate is wrong; the sentence says which one and what to change."""

    code = "invalid_chunk"

    def __init__(self, problem: str, *, key: str | None = None) -> None:
        """
        Args:
            problem: What is wrong and what to change, as a sentence.
            key: The offending key of the chunk, if there is one.
        """
        super().__init__(problem)
        self.key = key


class ClientDisabled(InvalidChunk):
    """The chunk's client is not listed in `netapi_enable_clients`."""

    code = "client_disabled"


class AuthenticationFailed(SaltApiError):
    """Nobody known: credentials are missing, wrong or expired."""

    status = 401
    code = "authentication"
    with_command = False
    """Whether the master refused them with a command, and not when they were looked at before."""

    @classmethod
    def of_command(cls, message: str) -> Self:
        """Return the error of a command whose credentials the master refuses."""
        error = cls(message)
        error.with_command = True
        return error


class AuthorizationFailed(SaltApiError):
    """Somebody known who may not do this."""

    status = 401
    code = "authorization"


class AddressRefused(SaltApiError):
    """The module does not take requests from the peer's address (`authorized_ips`)."""

    status = 403
    code = "address_refused"


class CertificateRefused(SaltApiError):
    """The module does not take requests with the client's certificate (`ssl_allowed_cn`)."""

    status = 403
    code = "certificate_refused"


class OriginRefused(SaltApiError):
    """A page of an origin that `cors_origin` does not list uses the cookie, or a WebSocket."""

    status = 403
    code = "origin_refused"


class NotFound(SaltApiError):
    """There is nothing at this URL."""

    status = 404
    code = "not_found"


class NoMinionsMatched(NotFound):
    """The target matches no minion that the master knows; nothing was published."""

    code = "no_minions_matched"


class MethodNotAllowed(SaltApiError):
    """This URL does not take this method."""

    status = 405
    code = "method_not_allowed"


class NotAcceptable(SaltApiError):
    """No format that the client accepts, or a body in a format that is not taken."""

    status = 406
    code = "not_acceptable"


class Conflict(SaltApiError):
    """What is asked for is there already, or does not go with what is."""

    status = 409
    code = "conflict"


class ConfirmationNeeded(Conflict):
    """
    What would run is not sure to be what was meant; it is shown, and runs when it is confirmed.

    `command` is the chunk, `confirm` the text that confirms this one and no other.
    """

    code = "confirmation_needed"

    def __init__(self, message: str, *, command: dict[str, Any], confirm: str) -> None:
        super().__init__(message)
        self.command = command
        self.confirm = confirm


class StillStarting(Conflict):
    """The first request with the same idempotency key is still being dealt with."""

    code = "still_starting"
    retry_after_seconds = 1


class OutcomeUnknown(Conflict):
    """
    Nobody knows whether a command was started: its request was broken off, or not answered.

    It is not run again; its jobs, if they have ids, say whether they were published.
    """

    code = "outcome_unknown"
    jids: tuple[str, ...] = ()

    def __init__(self, message: str, *, jids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.jids = jids


class TooSlow(SaltApiError):
    """The body came too slowly, or stopped coming; nothing was run."""

    status = 408
    code = "too_slow"


class PreconditionFailed(SaltApiError):
    """What is there is not what `If-Match`, or the fingerprint in the body, says."""

    status = 412
    code = "precondition_failed"


class BodyTooLarge(SaltApiError):
    """The body is larger than the module's limit."""

    status = 413
    code = "body_too_large"


class KeyReused(SaltApiError):
    """The idempotency key was used for another request (its draft, section 2.7)."""

    status = 422
    code = "key_reused"


class UpgradeRequired(SaltApiError):
    """This URL takes WebSocket clients only (RFC 9110, section 15.5.22)."""

    status = 426
    code = "upgrade_required"


class TooManyRequests(SaltApiError):
    """The client asks too often; it may come back after `retry_after_seconds`."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotSupported(SaltApiError):
    """The server that the module runs under cannot do this."""

    status = 501
    code = "not_supported"


class MalformedAnswer(SaltApiError):
    """The master answered with something that is no answer to the request."""

    status = 502
    code = "malformed_answer"


class MasterUnavailable(SaltApiError):
    """The master does not answer."""

    status = 503
    code = "master_unavailable"
    retry_after_seconds = 5
    sent: bool = True
    """Whether the request may have reached the master."""


class MasterBusy(MasterUnavailable):
    """More requests wait for the master than the process may hold."""

    code = "master_busy"
    retry_after_seconds = 1
    sent = False


class CommandTimeout(SaltApiError):
    """The command was accepted, its result did not come in time."""

    status = 504
    code = "timeout"


class WorkerFailed(SaltApiError):
    """A function worker crashed, hung or grew over its memory limit."""

    status = 503
    code = "worker_failed"


class StoreUnavailable(SaltApiError):
    """What several processes share cannot be read or written: the disk is full or read only."""

    status = 503
    code = "store_unavailable"
    retry_after_seconds = 5


class JobCacheUnavailable(SaltApiError):
    """Salt's job cache fails, or does not answer in time."""

    status = 503
    code = "job_cache_unavailable"
    retry_after_seconds = 5


class TokenStoreUnavailable(SaltApiError):
    """Salt's token store fails, or does not answer in time; nothing is said of any token."""

    status = 503
    code = "token_store_unavailable"
    retry_after_seconds = 5


class ProviderUnavailable(SaltApiError):
    """The identity provider, whose keys are needed to check a token, does not answer."""

    status = 503
    code = "provider_unavailable"
    retry_after_seconds = 10


class ServiceBusy(SaltApiError):
    """All users together ask for more at once than the process may hold."""

    status = 503
    code = "service_busy"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class AuditUnavailable(SaltApiError):
    """Nothing may run that is not in the audit log, and that cannot be written."""

    status = 503
    code = "audit_unavailable"
    retry_after_seconds = 5


class Stopping(SaltApiError):
    """The service stops before the answer is complete; what was started goes on."""

    status = 503
    code = "stopping"
    retry_after_seconds = 1
    sent: bool = True
    """Whether something may have been started."""


class CannotStart(Exception):
    """The daemon or a netapi module cannot start; the text says why and what to do."""
