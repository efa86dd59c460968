"""Clients that answer what a test tells them, and builders of runs and readings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from checks.clients import (
    Account,
    AccountState,
    CountryPermissions,
    LogPage,
    Money,
    RecentSpend,
    Sender,
    ServiceStatus,
)
from checks.messages import UNKNOWN_OPERATOR, Receipt, Status
from checks.past import Past
from checks.reason import Reason
from checks.result import CheckResult, CheckRun, Measured
from exporter.meters import Meters
from exporter.storage import Storage

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Told:
    """An observer that notes what a client tells about its own work."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.unreadable = 0

    def request_done(self, outcome: str) -> None:
        """Leave it to the answer."""

    def code_unmapped(self, code: str) -> None:
        self.codes.append(code)

    def message_unreadable(self) -> None:
        self.unreadable += 1


@dataclass
class FakeClient:
    """Answers every protocol in checks/clients.py; an exception given as an answer is raised."""

    account: Account | Exception = field(default_factory=lambda: Account(state=AccountState.ACTIVE))
    balance: Money | Exception | None = None
    spend: RecentSpend | None = None
    senders: dict[str, Sender] = field(default_factory=dict)
    permissions: CountryPermissions = field(default_factory=CountryPermissions)
    status: ServiceStatus | Exception = field(default_factory=lambda: ServiceStatus(components=(), incidents=()))
    receipts: Sequence[Receipt] = ()
    error: Exception | None = None

    def verify_credentials(self) -> None:
        if self.error is not None:
            raise self.error

    def fetch_account(self) -> Account:
        return _answer(self.account)

    def fetch_balance(self) -> Money | None:
        return _answer(self.balance)

    def fetch_spend(self) -> RecentSpend | None:
        return self.spend

    def fetch_number(self, number: str) -> Sender:
        return self.senders[number]

    def fetch_messaging_service(self, sid: str, *, countries: Sequence[str]) -> Sender:
        return self.senders[sid]

    def fetch_country_permissions(self, countries: Sequence[str]) -> CountryPermissions:
        return self.permissions

    def fetch_service_status(self) -> ServiceStatus:
        return _answer(self.status)

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        receipts = [one for one in self.receipts if one.created_at is not None and one.created_at >= since]
        return LogPage(receipts=receipts, resume=None, reached=None)


T = TypeVar("T")


def _answer(value: T | Exception) -> T:
    if isinstance(value, Exception):
        raise value
    return value


def receipt(
    number: int,
    status: Status = Status.DELIVERED,
    *,
    minutes_ago: float = 1,
    country: str = "DE",
    reason: Reason | None = None,
    code: str | None = None,
    code_is_mapped: bool = True,
    delivery_seconds: float | None = None,
    operator: str = UNKNOWN_OPERATOR,
) -> Receipt:
    if status is Status.DELIVERED and delivery_seconds is None:
        delivery_seconds = 4.0
    created_at = NOW.timestamp() - 60 * minutes_ago
    return Receipt(
        message_id=f"SM{number:032x}",
        status=status,
        at=created_at + (1.0 if delivery_seconds is None else delivery_seconds),
        created_at=created_at,
        recipient=f"+49151{number:08d}",
        country=country,
        operator=operator,
        reason=reason,
        code=code,
        code_is_mapped=code_is_mapped,
        delivery_seconds=delivery_seconds,
    )


def run(
    reason: Reason = Reason.OK,
    *measured: Measured,
    check: str = "balance",
    kind: str = "balance",
    target: str = "twilio",
    detail: str = "",
    at: datetime = NOW,
) -> CheckRun:
    return CheckRun(
        check=check,
        kind=kind,
        target=target,
        result=CheckResult(reason=reason, detail=detail, measured=measured),
        started_at=at - timedelta(milliseconds=250),
        finished_at=at,
        duration_seconds=0.25,
    )


def past(check: str = "balance") -> Past:
    """Return the past of a check that has none."""
    return Storage.in_memory(Meters()).past(check, "twilio", NOW)
