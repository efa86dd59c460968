"""The rules and dashboards as manifests: for the Prometheus operator, and for the sidecar of Grafana's Helm chart.

Fields are those of monitoring.coreos.com/v1 (prometheus-operator.dev/docs/api-reference/api, 2026-11).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from textwrap import indent
from typing import Any, Final

from .documents import dump
from .export import RULES, ExportError, Site, dashboards, rule_files
from .shipped import JOB

_APP: Final = {"app.kubernetes.io/name": "twofa-exporter"}
_PORT: Final = "metrics"
_FOLDER: Final = "2FA"
_SIDECAR: Final = {"grafana_dashboard": "1"}
_FOLDER_ANNOTATIONS: Final = {
    "k8s-sidecar-target-directory": _FOLDER,  # the sidecar's own default
    "grafana_folder": _FOLDER,  # what most set as sidecar.dashboards.folderAnnotation of the chart
}

_MAX_NAME: Final = 63
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")  # RFC 1123
_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")

_RULES_HEAD: Final = """\
# Alert rules of twofa-exporter for the Prometheus operator. The labels have to match ruleSelector of your Prometheus.
"""
_MONITOR_HEAD: Final = f"""\
# Lets the Prometheus operator scrape twofa-exporter. It expects a Service with the label below and a port called
# {_PORT} that leads to 10687, and an exporter that listens there: --web.listen-address=0.0.0.0:10687
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where manifests belong."""

    namespace: str | None  # None: that of whoever applies them
    labels: Mapping[str, str]


def parse_placement(wanted: bool, namespace: str | None, labels: Sequence[str]) -> Placement | None:
    """Return where manifests belong, None when none are wanted. Raises ExportError with all that is wrong."""
    if not wanted:
        if namespace is not None or labels:
            raise ExportError(["--namespace and --label are of manifests: give --prometheus-operator too"])
        return None
    problems = []
    if namespace is not None and not (_DNS_LABEL.fullmatch(namespace) and len(namespace) <= _MAX_NAME):
        problems.append(
            f'--namespace: must be lower case letters, digits and -, no more than {_MAX_NAME}, got "{namespace}"'
        )
    parsed = dict(label.partition("=")[::2] for label in labels)
    problems += [
        f'--label: must be name=value as Kubernetes takes it, such as release=monitoring, got "{label}"'
        for label in labels
        if "=" not in label or not _is_label(*label.partition("=")[::2])
    ]
    if problems:
        raise ExportError(problems)
    return Placement(namespace=namespace, labels=parsed)


def _is_label(key: str, value: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    has_prefix = len(prefix) <= 253 and all(_DNS_LABEL.fullmatch(part) for part in prefix.split("."))
    return (not slash or has_prefix) and _is_label_part(name) and (not value or _is_label_part(value))


def _is_label_part(text: str) -> bool:
    return len(text) <= _MAX_NAME and _LABEL_NAME.fullmatch(text) is not None


def rule_manifests(site: Site, placement: Placement) -> Mapping[str, str]:
    """Return a PrometheusRule and a ServiceMonitor: text by name of the file."""
    head = _head("monitoring.coreos.com/v1", "PrometheusRule", JOB, placement)
    monitor = {
        **_head("monitoring.coreos.com/v1", "ServiceMonitor", JOB, placement),
        "spec": {
            "jobLabel": next(iter(_APP)),  # its value becomes the job that the rules expect
            "selector": {"matchLabels": _APP},
            "endpoints": [{"port": _PORT, "path": "/metrics", "interval": "15s", **_relabelled(site)}],
        },
    }
    rules = indent(rule_files(site)[RULES], "  ")  # verbatim, comments too
    return {
        "twofa-exporter.prometheusrule.yml": f"{_RULES_HEAD}{dump(head)}spec:\n{rules}",
        "twofa-exporter.servicemonitor.yml": _MONITOR_HEAD + dump(monitor),
    }


def _relabelled(site: Site) -> Mapping[str, Any]:
    if site.job == JOB:
        return {}
    return {"relabelings": [{"action": "replace", "targetLabel": "job", "replacement": site.job}]}


def dashboard_manifests(site: Site, placement: Placement) -> Mapping[str, str]:
    """Return one ConfigMap for each dashboard: text by name of the file."""
    manifests = {}
    for file, text in dashboards(site).items():
        name = f"grafana-dashboard-{PurePath(file).stem}"
        head = _head("v1", "ConfigMap", name, placement, labels=_SIDECAR, annotations=_FOLDER_ANNOTATIONS)
        manifests[f"{name}.yml"] = f"{dump(head)}data:\n  {file}: |\n{indent(text, '    ')}"
    return manifests


def _head(
    version: str,
    kind: str,
    name: str,
    placement: Placement,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if placement.namespace is not None:
        metadata["namespace"] = placement.namespace
    metadata["labels"] = {**_APP, **(labels or {}), **placement.labels}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
