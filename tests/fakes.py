"""Clients that answer what a test tells them, and builders of runs and readings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from checks.clients import (
    Account,
    AccountState,
    CountryPermissions,
    Money,
    RecentSpend,
    Sender,
    ServiceStatus,
)
from checks.messages import Receipt, Status
from checks.reason import Reason
from checks.result import CheckResult, CheckRun, Measured

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


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
    asked_since: list[datetime] = field(default_factory=list)

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

    def read_messages(self, *, since: datetime) -> Iterator[Receipt]:
        self.asked_since.append(since)
        yield from (receipt for receipt in self.receipts if receipt.created_at >= since)


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
) -> Receipt:
    if status is Status.DELIVERED and delivery_seconds is None:
        delivery_seconds = 4.0
    return Receipt(
        message_id=f"SM{number:032x}",
        status=status,
        created_at=NOW - timedelta(minutes=minutes_ago),
        country=country,
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
