"""How far canaries have come, by what events tell of them: there is no call that does."""

from collections import deque
from typing import Final

from ...clients import CanaryStatus
from ...messages import Status

_MOST_SENT: Final = 50
_MOST_EARLY: Final = 500

_ACCEPTED: Final = CanaryStatus(status=Status.ACCEPTED, is_timely=False)


class Canaries:
    """The last few messages that were sent by ourselves, in memory alone. Any thread may note and ask; one sends."""

    def __init__(self) -> None:
        self._sent: dict[str, CanaryStatus] = {}
        self._early: deque[tuple[str, CanaryStatus]] = deque(maxlen=_MOST_EARLY)  # of messages of unknown senders

    def follow(self, message_id: str) -> None:
        """Note that a message is ours. Its first event may have been quicker than the answer to the call."""
        while len(self._sent) >= _MOST_SENT:
            del self._sent[next(iter(self._sent))]
        self._sent[message_id] = _ACCEPTED
        for known_id, status in list(self._early):
            self.note(known_id, status)

    def note(self, message_id: str, status: CanaryStatus) -> None:
        """Note what an event says of any message."""
        before = self._sent.get(message_id)
        if before is None:
            self._early.append((message_id, status))
        elif status.status.rank > before.status.rank:
            self._sent[message_id] = status

    def status(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come, as far as it was told."""
        return self._sent.get(message_id, _ACCEPTED)
