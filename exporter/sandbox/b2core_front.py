"""The client-facing API: a client's sign-in, step by step.

Steps and the fields of the wizard are documented in the pages rest-api-reference-front-authentication and -2fa of
https://docs.b2core.b2broker.com/en/, the number of tries and the time of the lock at
https://docs.b2core.b2broker.com/back-office-guide/system/settings, read 2026-11-24. The answers to wrong codes and to
locked clients are inferred.
"""

import secrets
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from .b2core_office import Office
from .b2core_tokens import Tokens
from .b2core_wire import B2coreError, Call, Json
from .clients import GOOGLE, SMS, Client
from .totp import CodeCheck

INTERMEDIATE: Final = 200
FINAL: Final = 202
WORKFLOW: Final = "signin"

MOST_WRONG_CODES: Final = 5
LOCK_SECONDS: Final = 600.0
SIGN_IN_SECONDS: Final = 900.0
SMS_CODE_SECONDS: Final = 300.0
MOST_SIGN_INS: Final = 1000


@dataclass(slots=True)
class _SignIn:
    """A sign-in under way."""

    uuid: str
    began: float  # epoch seconds, as all times here
    client: Client | None = None  # None: the password has not been given
    method: str | None = None  # None: not chosen yet
    code: str | None = None  # the one that was sent; None: none was
    code_sent: float = 0.0


@dataclass(slots=True)
class _Guard:
    """What is remembered of a client's codes."""

    wrong_codes: int = 0  # in a row
    locked_until: float = 0.0

    def refuse_locked(self, now: float) -> None:
        """Raise B2coreError while the client is locked."""
        if now < self.locked_until:
            wait = int(self.locked_until - now) + 1
            raise B2coreError(429, "Too many attempts, try again later", retry_after_seconds=wait)

    def note_wrong(self, now: float) -> None:
        """Count a wrong code, and lock the client when it is one too many."""
        self.wrong_codes += 1
        if self.wrong_codes >= MOST_WRONG_CODES:
            self.wrong_codes = 0
            self.locked_until = now + LOCK_SECONDS


class FrontApi:
    """The answers to clients."""

    def __init__(self, office: Office, tokens: Tokens) -> None:
        self._office = office
        self._tokens = tokens
        self._sign_ins: dict[str, _SignIn] = {}
        self._guards: defaultdict[int, _Guard] = defaultdict(_Guard)
        self._code_checks: dict[int, CodeCheck] = {}

    def begin(self, call: Call) -> Json:
        """Answer with a new sign-in."""
        sign_in = _SignIn(secrets.token_hex(16), call.now)
        self._sign_ins[sign_in.uuid] = sign_in
        if len(self._sign_ins) > MOST_SIGN_INS:
            del self._sign_ins[next(iter(self._sign_ins))]
        data = {"recaptcha": {"enabled": False}, "is_qr_available": False, "is_password_recovery_available": True}
        return {**_intermediate(sign_in), "data": data}

    def sign_in(self, call: Call) -> Json:
        """Take e-mail and password; answer with tokens when there is no second factor."""
        sign_in = self._find(call)
        client = self._office.clients.find_email(call.text("email"))
        if client is not None:
            self._guards[client.id].refuse_locked(call.now)
        if client is None or client.password != call.text("password"):
            raise B2coreError(401, "The e-mail or the password is wrong")
        self._enter(sign_in, client, call.now)
        if not self._office.methods(client):
            return self._finish(sign_in, client, call.now)
        return _intermediate(sign_in)

    def sign_in_by_sms(self, client: Client) -> bool:
        """Sign a client in as far as the code by SMS; whether one was sent."""
        now = self._office.now()
        sign_in = _SignIn("", now)
        self._enter(sign_in, client, now)
        if sign_in.method is None and SMS in self._office.methods(client):
            self._choose(sign_in, client, SMS, now)
        return sign_in.code is not None

    def choose(self, call: Call) -> Json:
        """Take the method that a client with two of them chooses."""
        sign_in, method = self._find(call), call.text("type")
        client = sign_in.client
        methods = frozenset() if client is None else self._office.methods(client)
        if client is None or len(methods) < 2:
            raise B2coreError(409, "There is nothing to choose")
        if method not in methods:
            raise B2coreError(422, "The type must be google or sms")
        self._choose(sign_in, client, method, call.now)
        return _intermediate(sign_in)

    def check_google(self, call: Call) -> Json:
        """Take a code of an authenticator app."""
        return self._check(call, GOOGLE)

    def check_sms(self, call: Call) -> Json:
        """Take a code that came by SMS."""
        return self._check(call, SMS)

    def sign_out(self, call: Call) -> None:
        """Let the client's tokens end."""
        self._tokens.revoke(call.bearer)

    def _find(self, call: Call) -> _SignIn:
        sign_in = self._sign_ins.get(call.text("uuid"))
        if sign_in is None or call.now >= sign_in.began + SIGN_IN_SECONDS:
            raise B2coreError(422, "The uuid is unknown or has expired")
        return sign_in

    def _enter(self, sign_in: _SignIn, client: Client, now: float) -> None:
        """Let a sign-in be that of a client, whose only method needs no choice."""
        sign_in.client, sign_in.method, sign_in.code = client, None, None
        methods = self._office.methods(client)
        if len(methods) == 1:
            (method,) = methods
            self._choose(sign_in, client, method, now)

    def _choose(self, sign_in: _SignIn, client: Client, method: str, now: float) -> None:
        sign_in.method = method
        if method == SMS:
            sign_in.code, sign_in.code_sent = self._office.send_code(client), now

    def _check(self, call: Call, method: str) -> Json:
        sign_in, code = self._find(call), call.text("code")
        client = sign_in.client
        if client is None or sign_in.method != method:
            raise B2coreError(409, f"No code by {method} is asked for")
        guard = self._guards[client.id]
        guard.refuse_locked(call.now)
        is_on = self._office.switches.is_on
        is_right = is_on("wrong_code_accepted") or self._is_right(sign_in, client, code, call.now)
        if not is_right:
            guard.note_wrong(call.now)
        if not is_right or (method == GOOGLE and is_on("code_rejected")):
            raise B2coreError(422, "The code is wrong")
        guard.wrong_codes = 0
        return self._finish(sign_in, client, call.now)

    def _is_right(self, sign_in: _SignIn, client: Client, code: str, now: float) -> bool:
        if sign_in.method == SMS:
            return code == sign_in.code and now < sign_in.code_sent + SMS_CODE_SECONDS
        check = self._code_checks.setdefault(client.id, CodeCheck(client.totp_secret))
        return check.take(code, now)

    def _finish(self, sign_in: _SignIn, client: Client, now: float) -> Json:
        del self._sign_ins[sign_in.uuid]
        tokens = self._tokens.issue(client.email, now).payload
        return {"code": FINAL, "done": True, "uuid": sign_in.uuid, "workflow": WORKFLOW, "data": tokens}


def _intermediate(sign_in: _SignIn) -> Json:
    return {"code": INTERMEDIATE, "done": False, "uuid": sign_in.uuid, "workflow": WORKFLOW, "data": {}}
