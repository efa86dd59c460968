"""Shares of messages: one definition for every dashboard."""

from typing import Final

from alerts.objective import WITHIN_SECONDS

from .queries import Selectors, increase
from .words import PLAIN, words

LATENCY: Final = "twofa_message_delivery_seconds_bucket"
DELIVERED: Final = ("twofa_messages_total", 'status="delivered"')
FINISHED: Final = ("twofa_messages_total", 'status=~"delivered|undelivered|failed"')
IN_TIME: Final = (LATENCY, f'le="{float(WITHIN_SECONDS)}"')

FEWEST: Final = 20  # as the alerts have it: of fewer, a share says nothing
TOO_FEW_WORDS: Final = words({"-1": ("Too few to tell", PLAIN)})
"""How ``share_of_enough`` says that it cannot say."""


def share_of_enough(part: str, whole: str) -> str:
    """Return the share of two counts without labels; -1 of too few, and nothing of none."""
    return f"({part} / ({whole} >= {FEWEST})) or 0 * ({whole} > 0) - 1"


def delivered_share(selectors: Selectors, window: str) -> str:
    """Return the share of the messages that came to an end in a window which were delivered."""
    return share_of_enough(increase(selectors(*DELIVERED), window), increase(selectors(*FINISHED), window))


def in_time_share(selectors: Selectors, window: str) -> str:
    """Return the share of the messages that came to an end in a window which arrived within the objective's time."""
    return share_of_enough(increase(selectors(*IN_TIME), window), increase(selectors(*FINISHED), window))
