"""Twilio and its status page on loopback: traffic, money, senders and faults to switch on.

It speaks the vendor's wire so that the exporter runs, is tested and is shown without an account;
it sends nothing to anybody.
"""

from .credentials import Credentials
from .faults import FAULTS, Place
from .notifier import Notifications
from .server import Sandbox, run

__all__ = ["FAULTS", "Credentials", "Notifications", "Place", "Sandbox", "run"]
