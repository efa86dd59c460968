"""Does the platform take right codes of an authenticator app, refuse wrong ones, and each code once?"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import sleep
from typing import Annotated, Final

import msgspec
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from .back_office import SignIn, TotpSignInClient
from .errors import ProviderError
from .notebook import Notebook
from .past import Past
from .providers.http import seconds_left
from .reason import Reason
from .result import AcceptedSteps, CheckResult
from .secret import Secret
from .settings import CheckSettings, Count, EmailAddress, Seconds, SecretSetting, between
from .totp import STEP_SECONDS, code_of, is_secret, step_at, wrong_code

_REACH: Final = 20  # steps around now of which a wrong code must be none
_MOST_FAILURES: Final = 3  # in a row: B2CORE blocks a client after five tries, as its settings come
_REST_SECONDS: Final = 3600.0  # after those
_OUTAGE_REST_SECONDS: Final = 900.0  # the first time that no answer says they were refused: an end is told sooner
_NOT_GIVEN: Final = frozenset({Reason.TLS_FAILED, Reason.PERMISSION_MISSING, Reason.RATE_LIMITED})
"""Errors that come before a code is given. After any other one the platform may have counted a try."""
_PROCESS_KEY: Final = secrets.token_bytes(32)
"""Never leaves the memory of this process, so that what is noted with it tells nobody a password."""
_RUN_SECONDS: Final = 3.0  # what two sign-ins may take: with less left of a step its code would come late


class TotpLoginSettings(CheckSettings):
    """Whose sign-in is tried, and how often."""

    interval: Annotated[Seconds, between("35s", "7d")] = Field(
        300.0, description="time between runs; longer than a step, since each code is good for one sign-in"
    )
    email: EmailAddress = Field(repr=False, description="a client that exists for this check alone")
    password: SecretSetting = Field(description="that client's password")
    totp_secret: SecretSetting = Field(description="that client's TOTP secret in Base32, as the set-up shows it")
    probe_interval: Annotated[Seconds, between("1m", "30d")] = Field(
        86400.0, description="time between two tries of a wrong code, of a used one and of each step"
    )
    max_steps: Annotated[Count, Field(ge=0, le=5)] = Field(
        2, description="steps before and after the right one that are tried; 0 tries none"
    )

    @field_validator("totp_secret")
    @classmethod
    def _base32(cls, secret: Secret) -> Secret:
        if not is_secret(secret):
            raise PydanticCustomError("totp_secret", "must be a TOTP secret in Base32, as the set-up shows it")
        return secret


class _Probe(StrEnum):
    """What is tried beside the right code and those of other steps."""

    WRONG = "wrong"
    REPLAY = "replay"


class _Note(msgspec.Struct):
    """What the last runs did. Times are Unix seconds."""

    last_step: int = 0  # the highest whose code was given and may be used up
    failures: int = 0  # right codes refused in a row
    unanswered: int = 0  # sign-ins since then that broke off, when the code may have been given and refused
    is_refused: bool = False  # whether the last code that was given was refused, or may have been
    rest_until: float = 0.0
    account: str = ""  # whose sign-ins these were, as ``_account`` writes it
    probed_at: dict[str, float] = {}  # by probe: a word, or how many steps off
    accepted: dict[str, bool] = {}  # by probe
    reason: str = Reason.OK.value
    detail: str = ""


def check_totp_login(
    client: TotpSignInClient, settings: TotpLoginSettings, past: Past, *, wait: Callable[[float], None] = sleep
) -> CheckResult:
    """Sign in once with the right code, and try at most one other code, which may be refused.

    So the client is never locked: between two codes that may be refused there is a right one. After right codes were
    refused three times it rests for an hour, sign-ins that broke off counted in; when all three broke off, for a
    quarter of one at first. A rest ends early when the e-mail, the password or the secret is another one, and in a
    new process, which cannot tell. Fails when a right code is refused or another one passes.

    Raises ProviderError when the platform cannot be asked, and before it is asked when that cannot be noted.
    """
    note = _read(past.notebook.read())
    now = past.now.timestamp()
    step = step_at(now)
    if note.rest_until > now + _REST_SECONDS or note.last_step > step + _REACH:
        note.rest_until, note.last_step = 0.0, 0  # noted by a clock that was ahead
    account = _account(settings)
    if note.account != account:
        note.account, note.rest_until = account, 0.0  # mended, perhaps; the refusals count on, so one more is enough
    if now < note.rest_until or step <= note.last_step:
        return _result(note, settings)  # as the last sign-in: the next code is not there yet, or it rests
    left = (step + 1) * STEP_SECONDS - now
    if left < min(_RUN_SECONDS, seconds_left()):
        wait(left)
        now, step = now + left, step + 1
    try:
        _Run(client, settings, past.notebook, note, now, step).sign_in()
    except ProviderError as error:
        _break_off(note, error, now)
        raise
    finally:
        _write(past.notebook, note)
    return _result(note, settings)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run, which keeps the note up to date."""

    client: TotpSignInClient
    settings: TotpLoginSettings
    notebook: Notebook
    note: _Note
    now: float
    step: int

    def sign_in(self) -> None:
        """Give the right code and one other where it is its turn, and judge.

        Gives none while that of an earlier step is due and not possible yet: with a short ``interval`` it never would
        be, since each right code uses up those before it.
        """
        probe = self._due()
        if self.step + _off(probe) <= self.note.last_step:
            return
        is_earlier = probe is not None and _off(probe) < 0  # given before the right one uses it up
        for each in (probe, None) if is_earlier else (None, probe) if probe else (None,):
            outcome = self._give(each)
            if each is None and outcome is SignIn.ACCEPTED:
                self.note.failures = self.note.unanswered = 0
            elif each is None or outcome not in (SignIn.ACCEPTED, SignIn.CODE_REFUSED):
                _refuse(self.note, outcome, self.now)
                return
            else:
                self.note.accepted[each] = outcome is SignIn.ACCEPTED
                self.note.probed_at[each] = self.now
        _judge(self.note)

    def _due(self) -> str | None:
        """Return the probe that has waited longest; None when none has waited long enough."""
        distances = range(1, self.settings.max_steps + 1)
        steps = [f"{sign * each}" for each in distances for sign in (-1, 1) if self._is_open(sign * each)]
        possible = (_Probe.WRONG, _Probe.REPLAY, *steps)
        probe = min((each for each in possible if self._is_due(each)), key=self._probed_at, default=None)
        if probe is None or (_off(probe) < 0 and self.note.is_refused):
            return None  # in the latter case a right code comes first, alone
        return str(probe)

    def _is_open(self, step: int) -> bool:
        """Return whether all nearer steps on its side pass, as far as they were tried: else it cannot pass either."""
        sign = 1 if step > 0 else -1
        return all(self.note.accepted.get(f"{sign * each}", True) for each in range(1, abs(step)))

    def _is_due(self, probe: str) -> bool:
        """Return whether it has waited long enough; what should have been refused is tried until it is."""
        is_wrongly_accepted = not _off(probe) and self.note.accepted.get(probe, False)
        return is_wrongly_accepted or self.now - self._probed_at(probe) >= self.settings.probe_interval

    def _probed_at(self, probe: str) -> float:
        at = self.note.probed_at.get(probe, 0.0)
        return at if at <= self.now else 0.0  # noted by a clock that was ahead

    def _give(self, probe: str | None) -> SignIn:
        """Sign in with the code of a probe or, for None, with the right one.

        That is noted first: whatever happens then, the code may be used up, and it may have been refused.
        """
        code_step = self.step + _off(probe)
        self.note.last_step = max(self.note.last_step, code_step)
        self.note.is_refused = True
        _write(self.notebook, self.note)
        secret = self.settings.totp_secret
        code = wrong_code(secret, self.step, _REACH) if probe == _Probe.WRONG else code_of(secret, code_step)
        try:
            outcome = self.client.sign_in(email=self.settings.email, password=self.settings.password, code=code)
        except ProviderError as error:
            self.note.unanswered += error.reason not in _NOT_GIVEN
            raise
        self.note.is_refused = outcome is not SignIn.ACCEPTED
        if outcome is SignIn.CODE_REFUSED:
            self.note.last_step = min(self.note.last_step, self.step)  # a later one is still to come
        return outcome


def _off(probe: str | None) -> int:
    """Return how many steps off the code of a probe is; 0 for one that is of no other step."""
    return 0 if probe is None or probe in tuple(_Probe) else int(probe)


def _refuse(note: _Note, outcome: SignIn, now: float) -> None:
    match outcome:
        case SignIn.CODE_NOT_ASKED:
            note.reason, note.detail = Reason.CLIENT_2FA_DISABLED.value, "the canary client signs in without a code"
        case SignIn.PASSWORD_REFUSED:
            note.rest_until = now + _REST_SECONDS
            note.reason = Reason.CREDENTIALS_REJECTED.value
            note.detail = "the platform refuses the canary client's e-mail or password; tried again in an hour"
        case SignIn.LOCKED:
            note.rest_until = now + _REST_SECONDS
            note.reason = Reason.TOO_MANY_ATTEMPTS.value
            note.detail = "the platform has locked the canary client; tried again in an hour"
        case _:
            note.failures += 1
            note.reason = Reason.CODE_REJECTED.value
            times = "" if note.failures == 1 else f", {note.failures} times in a row"
            note.detail = f"a right code is refused{times}"
            if note.failures + note.unanswered >= _MOST_FAILURES:
                note.rest_until = now + _REST_SECONDS
                note.detail += "; tried again in an hour"


def _break_off(note: _Note, error: ProviderError, now: float) -> None:
    note.reason, note.detail = error.reason.value, str(error)
    if error.reason in _NOT_GIVEN or note.failures + note.unanswered < _MOST_FAILURES:
        return
    is_outage = not note.failures and note.unanswered == _MOST_FAILURES  # most likely
    note.rest_until = now + (_OUTAGE_REST_SECONDS if is_outage else _REST_SECONDS)
    note.detail += f"; tried again in {'a quarter of an hour' if is_outage else 'an hour'}"


def _judge(note: _Note) -> None:
    wrong = [words for probe, words in _ACCEPTED.items() if note.accepted.get(probe)]
    refused = [words for probe, words in _REFUSED.items() if note.accepted.get(probe) is False]
    if wrong:
        note.reason, note.detail = Reason.WRONG_CODE_ACCEPTED.value, " and ".join(wrong)
        return
    note.reason, note.detail = Reason.OK.value, "a right code passes"
    if refused:
        note.detail += f", {' and '.join(refused)} {'does' if len(refused) == 1 else 'do'} not"


_ACCEPTED: Final = {_Probe.WRONG: "a wrong code passes", _Probe.REPLAY: "a code passes twice"}
_REFUSED: Final = {_Probe.WRONG: "a wrong one", _Probe.REPLAY: "a used one"}


def _result(note: _Note, settings: TotpLoginSettings) -> CheckResult:
    steps = accepted_steps(note.accepted, settings.max_steps)
    is_known = steps is not None and note.reason in (Reason.OK.value, Reason.WRONG_CODE_ACCEPTED.value)
    return CheckResult(
        reason=Reason(note.reason),
        detail=note.detail,
        measured=(AcceptedSteps(steps=steps),) if is_known and steps is not None else (),
    )


def accepted_steps(accepted: dict[str, bool], most: int) -> int | None:
    """Return how many steps off, before or after, a code may be and still pass; None before that is known.

    It is known of a side when all its steps up to ``most`` were tried, or all up to one that is refused.
    """
    before, after = (_accepted_on_side(accepted, most, sign) for sign in (-1, 1))
    return None if most == 0 or before is None or after is None else max(before, after)


def _accepted_on_side(accepted: dict[str, bool], most: int, sign: int) -> int | None:
    for distance in range(1, most + 1):
        passes = accepted.get(f"{sign * distance}")
        if not passes:
            return None if passes is None else distance - 1
    return most


def _account(settings: TotpLoginSettings) -> str:
    """Return a digest that is the same only for the same client, password and secret, and only in this process.

    One that could be compared by the next process would let whoever reads the note try passwords on it.
    """
    parts = (settings.email, settings.password.reveal(), settings.totp_secret.reveal())
    return hmac.new(_PROCESS_KEY, msgspec.json.encode(parts), hashlib.sha256).hexdigest()


def _read(text: str | None) -> _Note:
    try:
        note = _Note() if text is None else _NOTES.decode(text)
        Reason(note.reason)
    except (msgspec.MsgspecError, ValueError):  # of another version
        return _Note()
    return note


def _write(notebook: Notebook, note: _Note) -> None:
    notebook.write(msgspec.json.encode(note).decode())


_NOTES: Final = msgspec.json.Decoder(_Note)
