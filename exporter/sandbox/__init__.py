"""Twilio, its status page and a B2CORE back office on loopback: traffic, money, senders, clients and faults.

It speaks the vendors' wire so that the exporter runs, is tested and is shown without an account;
it sends nothing to anybody.
"""

from .clients import PERSONAS, Client
from .credentials import Credentials
from .faults import FAULTS, Place
from .notifier import Notifications
from .server import Sandbox, run

__all__ = ["FAULTS", "PERSONAS", "Client", "Credentials", "Notifications", "Place", "Sandbox", "run"]
