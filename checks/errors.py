"""What a client raises when it cannot answer: each error is one reason.

Messages are written by us and never quote a service's free text, which may hold phone numbers.
"""

from typing import ClassVar

from .reason import Reason


class ProviderError(Exception):
    """A service refused or failed to answer; ``reason`` says how, ``str()`` says it to a human."""

    def __init__(self, reason: Reason, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.code = code  # the vendor's own code, when it gave one


class _FixedReasonError(ProviderError):
    reason_of_class: ClassVar[Reason]

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(self.reason_of_class, detail, code=code)


class UnreachableError(_FixedReasonError):
    """No connection could be made, or it broke before an answer came."""

    reason_of_class = Reason.UNREACHABLE


class DeadlineExceededError(_FixedReasonError):
    """No complete answer came within the time allowed."""

    reason_of_class = Reason.TIMEOUT


class TLSFailedError(_FixedReasonError):
    """The secure connection failed: certificate, name, protocol."""

    reason_of_class = Reason.TLS_FAILED


class BadResponseError(_FixedReasonError):
    """An answer came that is not what the service documents."""

    reason_of_class = Reason.BAD_RESPONSE


class PermissionMissingError(_FixedReasonError):
    """The credentials are valid but may not make this call."""

    reason_of_class = Reason.PERMISSION_MISSING


class NotFoundError(_FixedReasonError):
    """The service knows no such thing. Adapters catch it where absence is an answer."""

    reason_of_class = Reason.BAD_RESPONSE


class StorageUnavailableError(_FixedReasonError):
    """What was read cannot be written down, so it is left to be read again."""

    reason_of_class = Reason.INTERNAL
