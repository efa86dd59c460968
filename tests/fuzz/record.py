"""Records what the sandbox answers each call of Twilio's client, for the corpus: ``python -m tests.fuzz.record``.

Lists, such as a page of the log, are cut to a few rows. Another vendor can be recorded in the same way.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote

import requests

from exporter.sandbox import Sandbox
from tests.fuzz.answers import NAME, build
from tests.fuzz.target import CORPUS
from tests.stub_server import Exchange, StubServer, answer
from tests.test_provider_faults import NUMBER, VENDORS

_ROWS: Final = 4
_MESSAGES: Final = "/2010-04-01/Accounts/{}/Messages.json"


def _names(sandbox: Sandbox) -> Mapping[str, str]:
    """Return what the sandbox calls the things that the table of faults asks for."""
    own = sandbox.credentials
    url = sandbox.url + _MESSAGES.format(own.account_sid)
    page = requests.get(url, auth=(own.account_sid, own.auth_token), timeout=10).json()
    return {
        str(VENDORS["twilio"].settings["account_sid"]): own.account_sid,
        NUMBER: own.toll_free,
        "MG" + "0" * 32: own.messaging_service_sid,
        "SM" + "1" * 32: next(row["sid"] for row in page["messages"] if row["price"]),
    }


def _record(sandbox: Sandbox, names: Mapping[str, str], call: str) -> Mapping[str, Any]:
    """Return what the sandbox answers to a call of Twilio's client, by path."""
    own = sandbox.credentials
    answers: dict[str, Any] = {}

    def forward(exchange: Exchange) -> None:
        asked = exchange.request
        # the table asks for attempts of another time; of all there are the first page will do
        is_of_attempts = asked.path.endswith("/Attempts")
        target = asked.path if is_of_attempts else asked.target
        for ours, theirs in names.items():
            target = target.replace(quote(ours), quote(theirs))
        url = (sandbox.statuspage_url if asked.path.startswith("/api/v2/") else sandbox.url) + target
        replied = requests.request(asked.method, url, auth=(own.account_sid, own.auth_token), timeout=10)
        text = replied.text
        for ours, theirs in names.items():
            text = text.replace(theirs, ours)
        body = _cut(json.loads(text))
        if is_of_attempts:
            body["meta"]["next_page_url"] = None
        if replied.ok:
            answers[asked.path] = body
        answer(body, status=replied.status_code)(exchange)

    with StubServer() as stub, closing(build("twilio", stub.url)) as client:
        stub.everywhere(forward)
        VENDORS["twilio"].calls[call](client)
    return answers


def _cut(body: Any) -> Any:
    """Return an answer with a few rows of its lists: one of each status, where they have one."""
    if not isinstance(body, dict):
        return body
    return {key: _some(value) if isinstance(value, list) else value for key, value in body.items()}


def _some(rows: Sequence[Any]) -> Sequence[Any]:
    by_status = {row["status"]: row for row in rows if isinstance(row, dict) and "status" in row}
    return list(by_status.values()) or rows[:_ROWS]


def main() -> None:
    """Write a file for each call that the sandbox answers."""
    folder = CORPUS / NAME
    folder.mkdir(parents=True, exist_ok=True)
    recorded: dict[str, Mapping[str, Any]] = {}
    with Sandbox(history_hours=1.0) as sandbox:
        names = _names(sandbox)
        for call in VENDORS["twilio"].calls.keys() - {"send_canary"}:
            recorded[call] = _record(sandbox, names, call)
    (message,) = recorded["fetch_canary"].values()  # to send one costs the sandbox's money; the answer is the same
    recorded["send_canary"] = {_MESSAGES.format(VENDORS["twilio"].settings["account_sid"]): message}
    for call, answers in recorded.items():
        example = {"vendor": "twilio", "call": call, "answers": answers}
        path = folder / f"twilio-{call.replace('_', '-')}.json"
        path.write_text(json.dumps(example, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
