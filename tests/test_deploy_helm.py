"""The Helm chart: rendered by Helm, held to the schemas of Kubernetes and of the Prometheus operator."""

import copy
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from exporter.commands import app
from exporter.export import RULES, Site, dashboards, rule_files
from exporter.kubernetes import Placement, dashboard_manifests, rule_manifests
from tests.repo import ROOT, require_program

HELM_HOME = ROOT / ".programs" / "helm" / "bin"
DEPLOY = ROOT / "tests" / "deploy"
CHART = ROOT / "deploy" / "helm" / "twofa-exporter"
EXAMPLE: dict[str, Any] = yaml.safe_load((CHART.parent / "example-values.yml").read_text())
LEAST: dict[str, Any] = {"config": EXAMPLE["config"]}
NOTHING_ELSE: dict[str, Any] = {
    **LEAST,
    "networkPolicy": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "serviceAccount": {"create": False},
}
VALUES = {"example": EXAMPLE, "least": LEAST, "nothing else": NOTHING_ELSE}
KUBERNETES = ("1.27", "1.37")  # the oldest that Chart.yaml takes, and the newest that there is a schema of
OPERATOR = "monitoring.coreos.com/v1"
RELEASE, NAMESPACE = "t", "sms"

Manifest = dict[str, Any]


def helm(*arguments: str | Path, values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    program = shutil.which("helm", path=HELM_HOME) or require_program("helm")
    command = [program, *arguments, "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60)


@functools.cache
def _rendered(values: str) -> str:
    done = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(values: Mapping[str, Any]) -> list[Manifest]:
    documents = yaml.load_all(_rendered(json.dumps(values)), Loader=yaml.CSafeLoader)  # dashboards are long
    return [document for document in documents if document]


def of_kind(kind: str, values: Mapping[str, Any] = EXAMPLE) -> list[Manifest]:
    return [manifest for manifest in render(values) if manifest["kind"] == kind]


def the(kind: str, values: Mapping[str, Any] = EXAMPLE) -> Manifest:
    (manifest,) = of_kind(kind, values)
    return manifest


def pod(values: Mapping[str, Any] = EXAMPLE) -> Manifest:
    template: Manifest = the("StatefulSet", values)["spec"]["template"]
    return template


def container(values: Mapping[str, Any] = EXAMPLE) -> Manifest:
    (only,) = pod(values)["spec"]["containers"]
    return dict(only)


def changed(**paths: Any) -> dict[str, Any]:
    """The example's values with others in them, by their path with __ for the dots."""
    values = copy.deepcopy(EXAMPLE)
    for path, value in paths.items():
        *folders, name = path.split("__")
        place = values
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return values


# --- what is generated -----------------------------------------------------------------------------


def test_the_rules_and_dashboards_of_the_chart_are_those_that_are_shipped() -> None:
    expected = {"twofa.rules.yml": rule_files(Site())[RULES]}
    expected |= {f"dashboards/{name}": text for name, text in dashboards(Site()).items()}
    folder = CHART / "files"
    if os.environ.get("UPDATE_GOLDEN"):
        shutil.rmtree(folder)
        for name, text in expected.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == expected.keys()
    assert [name for name, text in expected.items() if (folder / name).read_text() != text] == []


def test_the_chart_is_of_the_version_of_the_exporter() -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["appVersion"], chart["version"]) == (version, version)


# --- what Helm and Kubernetes say ------------------------------------------------------------------


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_helm_finds_nothing_to_lint(values: dict[str, Any]) -> None:
    done = helm("lint", "--strict", "--quiet", CHART, values=values)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_kubernetes_has_every_field(values: dict[str, Any], version: str) -> None:
    manifests = [manifest for manifest in render(values) if manifest["apiVersion"] != OPERATOR]
    assert manifests
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_kubernetes_does_not_have_is_seen() -> None:
    manifest = copy.deepcopy(the("StatefulSet"))
    manifest["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


def test_the_prometheus_operator_accepts_what_is_its_own() -> None:
    node = require_program("node")
    if not (DEPLOY / "node_modules").exists():
        message = "not installed: the schemas of the Prometheus operator (npm install --prefix tests/deploy)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    manifests = [manifest for manifest in render(EXAMPLE) if manifest["apiVersion"] == OPERATOR]
    assert sorted(manifest["kind"] for manifest in manifests) == ["PrometheusRule", "ServiceMonitor"]
    wrong = copy.deepcopy(the("ServiceMonitor"))
    wrong["spec"]["endpoints"][0]["interval"] = "15"
    done = subprocess.run(
        [node, DEPLOY / "validate.js"],
        input=json.dumps([*manifests, wrong]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *problems, problem = json.loads(done.stdout)
    assert problems == ["", ""]
    assert "interval" in problem


# --- one source of truth ---------------------------------------------------------------------------


def site() -> Site:
    urls = EXAMPLE["site"]
    return Site(exporter=urls["exporterUrl"], runbooks=f"{urls['exporterUrl']}/runbooks", grafana=urls["grafanaUrl"])


def exported() -> list[Manifest]:
    placement = Placement(namespace=NAMESPACE, labels={})
    texts = {**rule_manifests(site(), placement), **dashboard_manifests(site(), placement)}
    return [yaml.load(text, Loader=yaml.CSafeLoader) for text in texts.values()]


def test_the_rules_are_those_that_the_command_exports() -> None:
    (expected,) = (manifest["spec"] for manifest in exported() if manifest["kind"] == "PrometheusRule")
    assert the("PrometheusRule")["spec"] == expected


def test_the_service_monitor_asks_as_the_one_that_the_command_exports() -> None:
    (expected,) = (manifest["spec"] for manifest in exported() if manifest["kind"] == "ServiceMonitor")
    spec = the("ServiceMonitor")["spec"]
    assert (spec["jobLabel"], spec["endpoints"]) == (expected["jobLabel"], expected["endpoints"])
    assert spec["selector"]["matchLabels"].items() >= expected["selector"]["matchLabels"].items()


def test_the_dashboards_are_those_that_the_command_exports() -> None:
    ours = [manifest for manifest in of_kind("ConfigMap") if "grafana_dashboard" in manifest["metadata"]["labels"]]
    theirs = [manifest for manifest in exported() if manifest["kind"] == "ConfigMap"]
    texts = {name: text.strip() for manifest in ours for name, text in manifest["data"].items()}
    assert texts == {name: text.strip() for manifest in theirs for name, text in manifest["data"].items()}
    for manifest in ours:
        assert manifest["metadata"]["annotations"] == theirs[0]["metadata"]["annotations"]


# --- how the parts fit -----------------------------------------------------------------------------


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_everything_is_in_the_namespace_of_the_release_and_has_a_name_of_its_own(values: dict[str, Any]) -> None:
    manifests = render(values)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {NAMESPACE}


def test_every_selector_finds_the_pod() -> None:
    labels = pod()["metadata"]["labels"]
    selectors = [
        the("StatefulSet")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in of_kind("Service")),
    ]
    assert len(selectors) == 5
    for selector in selectors:
        # not by the version, which an update changes
        assert selector.keys() == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
        assert selector.items() <= labels.items()


def test_the_service_monitor_finds_the_internal_service_alone() -> None:
    spec = the("ServiceMonitor")["spec"]
    found = [
        service
        for service in of_kind("Service")
        if spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ]
    assert [service["metadata"]["name"] for service in found] == [the("StatefulSet")["metadata"]["name"]]
    assert [port["name"] for port in found[0]["spec"]["ports"]] == [spec["endpoints"][0]["port"]]


def test_the_listeners_are_apart() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"metrics": 10687, "public": 10689}
    assert {"--web.listen-address=:10687", "--public.listen-address=:10689"} <= set(container()["args"])
    leads = [
        (service["metadata"]["name"], port["targetPort"])
        for service in of_kind("Service")
        for port in service["spec"]["ports"]
    ]
    assert leads == [(f"{RELEASE}-twofa-exporter", "metrics"), (f"{RELEASE}-twofa-exporter-public", "public")]


def test_the_public_reaches_callbacks_and_the_clock_alone() -> None:
    spec = the("Ingress")["spec"]
    (rule,) = spec["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/callbacks", "/clock"]
    backends = {json.dumps(path["backend"]) for path in rule["http"]["paths"]}
    assert [json.loads(backend)["service"] for backend in backends] == [
        {"name": f"{RELEASE}-twofa-exporter-public", "port": {"name": "public"}}
    ]
    assert spec["tls"] == [{"hosts": ["codes.example.com"], "secretName": "codes-example-com"}]


def test_without_a_public_listener_nothing_leads_there() -> None:
    assert [service["metadata"]["name"] for service in of_kind("Service", LEAST)] == [f"{RELEASE}-twofa-exporter"]
    assert of_kind("Ingress", LEAST) == []
    assert not any("public" in argument for argument in container(LEAST)["args"])
    (rule,) = the("NetworkPolicy", LEAST)["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]


def test_who_is_not_named_is_not_let_in() -> None:
    # in Kubernetes a rule without `from` lets everybody in
    closed = changed(networkPolicy__metricsFrom=[], networkPolicy__publicFrom=[])
    spec = the("NetworkPolicy", closed)["spec"]
    assert ("ingress" in spec, spec["policyTypes"]) == (False, ["Ingress", "Egress"])
    for rule in the("NetworkPolicy")["spec"]["ingress"]:
        assert rule["from"]


def test_the_addresses_where_clouds_hand_out_credentials_are_not_called() -> None:
    _, calls = the("NetworkPolicy")["spec"]["egress"]
    assert {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]} in [to["ipBlock"] for to in calls["to"]]


def test_one_pod_alone_has_the_database() -> None:
    spec = the("StatefulSet")["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert (spec["replicas"], claim["spec"]["accessModes"]) == (1, ["ReadWriteOnce"])
    mounted = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert f"--storage.path={mounted[claim['metadata']['name']]}/twofa-exporter.db" in container()["args"]
    assert spec["template"]["spec"]["securityContext"]["fsGroup"] == 10001


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_pod_keeps_to_the_restricted_profile(values: dict[str, Any]) -> None:
    spec, own = pod(values)["spec"], container(values)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]})
    assert own["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "projected"}


def test_it_runs_as_the_user_of_the_image() -> None:
    spec = pod()["spec"]["securityContext"]
    image = (ROOT / "deploy/container/Containerfile").read_text()
    assert f"\nUSER {spec['runAsUser']}:{spec['runAsGroup']}\n" in image


def test_secrets_are_files_of_secrets_that_are_there_already() -> None:
    assert of_kind("Secret") == []
    picked = changed(secrets=[{"name": "a", "keys": ["x", "y"]}, {"name": "b"}])
    (volume,) = (volume for volume in pod(picked)["spec"]["volumes"] if volume["name"] == "secrets")
    items = [{"key": "x", "path": "x"}, {"key": "y", "path": "y"}]
    assert volume["projected"] == {
        "defaultMode": 0o440,
        "sources": [{"secret": {"name": "a", "items": items}}, {"secret": {"name": "b"}}],
    }
    mounted = {mount["name"]: mount for mount in container(picked)["volumeMounts"]}
    assert mounted["secrets"]["readOnly"] is True
    assert f"{mounted['secrets']['mountPath']}/twilio_auth_token" in _rendered(json.dumps(EXAMPLE))


def test_the_exporter_accepts_the_configuration_of_the_example(tmp_path: Path) -> None:
    (text,) = (
        manifest["data"]["twofa-exporter.yml"]
        for manifest in of_kind("ConfigMap")
        if "twofa-exporter.yml" in manifest["data"]
    )
    assert yaml.safe_load(text) == EXAMPLE["config"]
    for name in ("twilio_auth_token", "diagnose_token"):
        (tmp_path / name).write_text("0" * 32)
    (tmp_path / "config.yml").write_text(text.replace("/run/secrets/twofa-exporter", str(tmp_path)))
    done = CliRunner().invoke(app, ["config", "check", "--config.file", str(tmp_path / "config.yml")])
    assert done.exit_code == 0, done.output


def test_a_new_configuration_starts_a_new_pod() -> None:
    other = changed(config__checks__balance__min_amount=60)
    checksums = {pod(values)["metadata"]["annotations"]["checksum/config"] for values in (EXAMPLE, other)}
    assert len(checksums) == 2


def test_an_image_is_named_by_its_digest_where_there_is_one() -> None:
    digest = f"sha256:{'0' * 64}"
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert container()["image"] == f"registry.example.com/twofa-exporter:{version}"
    assert container(changed(image__digest=digest))["image"] == f"registry.example.com/twofa-exporter@{digest}"


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "words"),  # versions of Helm word it differently: what is wrong is named by all
    [
        ({"config": {}}, "config: has to be given"),
        ({"secrets": [{"name": "a", "value": "hunter2"}]}, "'value'"),
        ({"secretss": []}, "'secretss'"),
        ({"extraEnv": [{"name": "A", "valueFrom": {}}]}, "valueFrom"),
        ({"site__exporterUrl": "twofa.example.com/"}, "exporterUrl"),
        ({"public__enabled": False}, "public.enabled has to be true too"),
        ({"public__ingress__host": ""}, "host"),
        ({"public__ingress__tlsSecret": ""}, "tlsSecret"),
        ({"podDisruptionBudget__maxUnavailable": 2}, "maxUnavailable"),
        ({"image__digest": "latest"}, "digest"),
        ({"log__level": "warning"}, "level"),
        ({"persistence__accessMode": "ReadWriteMany"}, "accessMode"),
    ],
)
def test_values_that_would_not_work_are_refused(paths: dict[str, Any], words: str) -> None:
    done = helm("template", RELEASE, CHART, values=changed(**paths))
    assert done.returncode != 0
    assert words in done.stderr
