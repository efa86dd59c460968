"""Writes twofa.rules.yml out of the tables of the product: reasons, kinds of check, what the detector can name.

``make golden`` runs it; a test fails while the file differs from what is generated.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from .causes import cause_alerts
from .exporter_itself import exporter_alerts, watchdog
from .objective import burn_rate_alerts, long_recordings, short_recordings
from .rule import Group
from .symptoms import symptom_alerts

RULES: Final = Path(__file__).with_name("twofa.rules.yml")

_LONG: Final = 90  # a text that is folded over several lines

_HEAD: Final = """\
# Alert rules of twofa-exporter, for Prometheus 2.42 and newer. Generated: change alerts/*.py and run `make golden`.
#
# critical  a page: somebody has to act now, as clients get no usable codes, or nobody would see it
# warning   a ticket for working hours
# info      context only, never sent to a person
#
# The rules expect the scrape job to be called twofa-exporter. Ranges of five minutes bridge a failed scrape:
# last_over_time takes the newest value, so a reason that is over does not linger in them. A cause is kept firing for
# some minutes more, to end after the symptoms that it mutes.
#
# `twofa-exporter rules export DIR` writes them with the addresses of your runbooks and your Grafana.
groups:
"""


def groups() -> tuple[Group, ...]:
    """Return all groups of rules, in the order of the file."""
    return (
        Group(
            name="twofa.rules",
            comment="What the objective of delivery is judged by. Averages of rates: no long range over many series.",
            rules=tuple(short_recordings()),
        ),
        Group(
            name="twofa.rules.days",
            comment="The same over days; as a sample counts for 5 minutes, often enough for none to be missed.",
            interval="2m",
            rules=tuple(long_recordings()),
        ),
        Group(
            name="twofa.symptoms",
            comment="What clients feel. A cause that is known mutes them: see alertmanager.example.yml.",
            rules=(*symptom_alerts(), *burn_rate_alerts()),
        ),
        Group(
            name="twofa.causes",
            comment="Why: one alert for each reason. Where a reason has two severities, they have the same name.",
            rules=tuple(cause_alerts()),
        ),
        Group(
            name="twofa.exporter",
            comment="The exporter itself. Send TwoFAWatchdog to a service that raises the alarm when it stops.",
            rules=(*exporter_alerts(), watchdog()),
        ),
    )


class _Dumper(yaml.SafeDumper):
    """Writes expressions as blocks, and lists indented as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else ">" if len(text) > _LONG and " " in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def generate() -> str:
    """Return the text of the rule file."""
    return _HEAD + "\n".join(_comment(group) + _dump([group.document()]) for group in groups())


def _comment(group: Group) -> str:
    return f"  # {group.comment}\n"


def _dump(document: list[dict[str, Any]]) -> str:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())


if __name__ == "__main__":
    RULES.write_text(generate(), encoding="utf-8")
