"""Is the platform's clock right? Told by the steps that the codes of successful sign-ins match.

The platform posts which step each attempt's code matched. A clock that is 10 s fast is told after some 50 sign-ins,
long before codes are refused. What it cannot tell: a clock that was wrong on most days of the last fortnight looks
like clients who type slowly.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field

from .past import Past
from .reason import Reason
from .result import CheckResult, ClockOffset, ClockSource
from .settings import CheckSettings, Count, Seconds, between
from .totp_steps import Offset, SignIns, Slot, Typing, accepted_shares, estimate_offset, find_wrong_clock, learn_typing

_HISTORY_SECONDS: Final = 14 * 86_400.0
_RECENT_SECONDS: Final = 86_400.0  # nothing is learnt from them
_HOUR: Final = 3600.0
_OFFSET_UNLEARNT_SECONDS: Final = 8.0  # clients who take 12 s to type look like a clock that is 6 s fast


class VerifierSettings(CheckSettings):
    """When the platform's clock is wrong."""

    min_sign_ins: Count = Field(20, ge=10, description="with fewer sign-ins nothing is judged")
    max_offset: Annotated[Seconds, between("3s", "30s")] = Field(
        5.0, description="a platform's clock that is wrong by this or more is a fault"
    )


def check_verifier(_client: object, settings: VerifierSettings, past: Past) -> CheckResult:
    """Pass unless the steps that sign-ins matched tell of a clock that is wrong by ``max_offset`` or more.

    Nothing is asked of the client. Raises StorageUnavailableError when the events cannot be read.
    """
    now = past.now.timestamp()
    slots = [slot for slot in past.verifier.slots(now - _HISTORY_SECONDS) if slot.at <= now]
    typing = learn_typing(slot for slot in slots if slot.at < now - _RECENT_SECONDS)
    min_offset = settings.max_offset if typing.is_learnt else max(settings.max_offset, _OFFSET_UNLEARNT_SECONDS)
    wrong = find_wrong_clock(slots, typing.median_seconds, min_sign_ins=settings.min_sign_ins, min_offset=min_offset)
    if wrong is not None:
        return CheckResult(
            reason=Reason.SERVER_CLOCK_SKEWED, detail=_words(wrong, typing, now), measured=(_measured(wrong),)
        )
    return _healthy(slots, typing, settings, now)


def _healthy(slots: Sequence[Slot], typing: Typing, settings: VerifierSettings, now: float) -> CheckResult:
    seen = SignIns()
    for slot in slots:
        if slot.at >= now - _HOUR:
            seen = seen.plus(slot)
    detail = f"{seen.total} sign-ins in the last hour"
    if seen.total < settings.min_sign_ins:
        return CheckResult(reason=Reason.OK, detail=f"{detail}: not judged, fewer than {settings.min_sign_ins}")
    if seen.tells_nothing:
        return CheckResult(reason=Reason.OK, detail=f"{detail}, none with a code of another step: nothing to judge")
    offset = estimate_offset(seen, typing.median_seconds, since=now - _HOUR)
    return CheckResult(
        reason=Reason.OK, detail=f"{detail}, offset about {offset.seconds:.0f} s", measured=(_measured(offset),)
    )


def _measured(offset: Offset) -> ClockOffset:
    return ClockOffset(seconds=offset.seconds, source=ClockSource.VERIFIER)


def _words(wrong: Offset, typing: Typing, now: float) -> str:
    """Return what is wrong, by the neighbouring step whose share differs most from what is normal."""
    usual_before, _, usual_after = accepted_shares(0, typing.median_seconds)
    before, after = wrong.seen.before / wrong.seen.total, wrong.seen.after / wrong.seen.total
    neighbours = [(before, usual_before, "the step before"), (after, usual_after, "the next step")]
    share, usual, step = max(neighbours, key=lambda one: abs(one[0] - one[1]))
    since = datetime.fromtimestamp(wrong.since, UTC)
    time = f"{since:%H:%M} UTC" if wrong.since > now - _RECENT_SECONDS else f"{since:%Y-%m-%d %H:%M} UTC"
    normally = "do so normally" if typing.is_learnt else "would do so with a right clock"
    way = "fast" if wrong.seconds > 0 else "slow"
    return (
        f"{wrong.seen.total} sign-ins since {time}: {share:.0%} matched {step}, {usual:.0%} {normally}:"
        f" the platform's clock is about {abs(wrong.seconds):.0f} s {way}"
    )
