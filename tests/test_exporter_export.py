"""``rules export`` and ``dashboards export``: what users put beside their own Prometheus, Alertmanager and Grafana."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from exporter.commands import app
from exporter.export import ExportError, Site, dashboard_files, rule_files, write
from exporter.kubernetes import Placement, dashboard_manifests, parse_placement, rule_manifests
from exporter.shipped import GRAFANA_URL, JOB, RUNBOOKS_URL
from tests.processes import run_command
from tests.repo import ROOT, require_program, source_files

ALERTS, DASHBOARDS = ROOT / "alerts", ROOT / "dashboards"
RULES, EXAMPLE = "twofa.rules.yml", "alertmanager.example.yml"
RULE_TESTS = sorted(path.name for path in ALERTS.glob("*.test.yml"))
SITE = Site(
    runbooks="https://wiki.example.com/on-call/2fa",
    grafana="https://example.com/grafana",
    exporter="https://codes.example.com",
    job="sms/codes",
)
NOWHERE = Placement(namespace=None, labels={})
RFC_1123 = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def files_in(folder: Path) -> Mapping[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def rules_of(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


# --- what is written -------------------------------------------------------------------------------


LINKS_TO_HERE = (
    "warning: --runbook-url: links lead to http://127.0.0.1:10687/runbooks,"
    " which opens on the exporter's own machine only\n"
    "warning: --grafana-url: links lead to http://127.0.0.1:3000, which opens on the exporter's own machine only\n"
)


def test_rules_are_written_as_they_are_shipped(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    done = run_command("rules", "export", str(folder))

    runbooks = [path for path in source_files("alerts/runbooks") if path.endswith(".md")]
    expected = [f"alerts/{name}" for name in (RULES, *RULE_TESTS, EXAMPLE)] + runbooks
    assert files_in(folder) == {path.removeprefix("alerts/"): (ROOT / path).read_text() for path in sorted(expected)}
    assert (done.returncode, done.stderr) == (0, LINKS_TO_HERE)
    assert sorted(done.stdout.splitlines()[:-1]) == sorted(str(folder / name) for name in files_in(folder))
    assert done.stdout.splitlines()[-1] == f"{folder}: {len(expected)} written, 0 as they were"


def test_dashboards_are_written_as_they_are_shipped(tmp_path: Path) -> None:
    done = run_command("dashboards", "export", str(tmp_path))

    expected = [path for path in source_files("dashboards") if path.endswith((".json", ".yml"))]
    assert "dashboards/twofa-overview.json" in expected
    assert files_in(tmp_path) == {path.removeprefix("dashboards/"): (ROOT / path).read_text() for path in expected}
    assert done.returncode == 0


def test_a_runbook_names_the_job_of_the_site() -> None:
    text = rule_files(SITE)["runbooks/TwoFAExporterDown.md"]
    assert f'up{{job="{SITE.job}"}}' in text
    assert f"must be called `{SITE.job}`" in text


def test_addresses_and_job_of_the_site_stand_in_the_rules() -> None:
    shipped, ours = rules_of((ALERTS / RULES).read_text()), rules_of(rule_files(SITE)[RULES])

    alerts = [rule for rule in ours if "alert" in rule]
    assert {rule["annotations"]["runbook_url"].rpartition("/")[0] for rule in alerts} == {SITE.runbooks}
    assert {rule["annotations"]["dashboard_url"].partition("/d/")[0] for rule in alerts} == {SITE.grafana}
    down = [rule for rule in ours if rule.get("alert") == "TwoFAExporterDown"]
    assert [re.findall(r"job=[^,}]+", rule["expr"]) for rule in down] == [['job="sms/codes"'] * 2] * 2

    swapped = {RUNBOOKS_URL: SITE.runbooks, f"{GRAFANA_URL}/": f"{SITE.grafana}/", f'job="{JOB}"': f'job="{SITE.job}"'}
    text = json.dumps(shipped)
    for before, after in swapped.items():
        text = text.replace(json.dumps(before)[1:-1], json.dumps(after)[1:-1])
    assert ours == json.loads(text)  # and nothing else is changed: a dashboard is called as the job is


def test_promtool_accepts_the_rules_of_a_site(tmp_path: Path) -> None:
    promtool = require_program("promtool")
    write(rule_files(SITE), tmp_path)
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_accepts_the_example(tmp_path: Path) -> None:
    write(rule_files(Site()), tmp_path)
    amtool = require_program("amtool")
    done = subprocess.run([amtool, "check-config", tmp_path / EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_addresses_of_the_site_stand_in_the_dashboards() -> None:
    for name, text in dashboard_files(SITE).items():
        shipped = (DASHBOARDS / name).read_text()
        assert text.count(SITE.runbooks) == shipped.count(RUNBOOKS_URL), name
        if name.endswith(".json"):
            assert SITE.runbooks in text
            assert SITE.exporter in text
            assert "//127.0.0.1" not in text
            assert json.loads(text)["uid"] == Path(name).stem


def test_an_address_that_holds_another_one_is_not_changed_twice() -> None:
    site = Site(runbooks=f"{GRAFANA_URL}/runbooks", grafana="https://grafana.example.com")
    assert site.apply(f"{RUNBOOKS_URL}/x {GRAFANA_URL}/d/y") == (
        f"{GRAFANA_URL}/runbooks/x https://grafana.example.com/d/y"
    )


def test_the_runbooks_of_the_dashboards_are_those_of_the_exporter_unless_said_otherwise(tmp_path: Path) -> None:
    run_command("dashboards", "export", str(tmp_path), "--exporter-url", "https://codes.example.com")
    assert "https://codes.example.com/runbooks" in (tmp_path / "twofa-overview.json").read_text()


# --- what is refused -------------------------------------------------------------------------------

URL_WORDS = "must be an http(s) URL without query and trailing slash, got"
JOB_WORDS = "must be made of letters, digits and _.:/- and begin with a letter, got"
LABEL_WORDS = "must be name=value as Kubernetes takes it, such as release=monitoring, got"
NAMESPACE_WORDS = "must be lower case letters, digits and -, no more than 63, got"
OF_MANIFESTS = "--namespace and --label are of manifests: give --prometheus-operator too"


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        (["--runbook-url", "wiki.example.com"], [f'--runbook-url: {URL_WORDS} "wiki.example.com"']),
        (["--runbook-url", "https://a.com/"], [f'--runbook-url: {URL_WORDS} "https://a.com/"']),
        (["--runbook-url", "https://u:p@a.com/x"], [f'--runbook-url: {URL_WORDS} "https://u:p@a.com/x"']),
        (["--grafana-url", "https://a.com/?x=1"], [f'--grafana-url: {URL_WORDS} "https://a.com/?x=1"']),
        (["--grafana-url", "https://{{ a }}"], [f'--grafana-url: {URL_WORDS} "https://{{{{ a }}}}"']),
        (
            ["--grafana-url", "javascript:1", "--job", 'a"} or up{b="'],
            [f'--grafana-url: {URL_WORDS} "javascript:1"', f'--job: {JOB_WORDS} "a"}} or up{{b=""'],
        ),
        (["--job", ""], [f'--job: {JOB_WORDS} ""']),
        (["--job", "1"], [f'--job: {JOB_WORDS} "1"']),
        (["--namespace", "monitoring"], [OF_MANIFESTS]),
        (["--label", "a=b"], [OF_MANIFESTS]),
        (
            ["--prometheus-operator", "--namespace", "Mon_itoring", "--label", "a", "--label", "a=b c"],
            [
                f'--namespace: {NAMESPACE_WORDS} "Mon_itoring"',
                f'--label: {LABEL_WORDS} "a"',
                f'--label: {LABEL_WORDS} "a=b c"',
            ],
        ),
    ],
)
def test_what_cannot_stand_in_the_files_is_refused(tmp_path: Path, options: list[str], problems: list[str]) -> None:
    done = CliRunner().invoke(app, ["rules", "export", str(tmp_path / "out"), *options])
    assert (done.exit_code, done.stdout, done.stderr.splitlines()) == (2, "", problems)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("label", "is_good"),
    [
        ("release=kube-prometheus-stack", True),
        ("app.kubernetes.io/part-of=2fa", True),
        ("empty=", True),
        (f"{'a' * 63}={'b' * 63}", True),
        (f"{'a' * 64}=b", False),
        (f"a={'b' * 64}", False),
        ("=b", False),
        ("/a=b", False),
        ("UPPER.case/a=b", False),
        ("a/b/c=d", False),
        ("a=-b", False),
        ("a=b=c", False),
        ("a=b\n", False),
    ],
)
def test_a_label_is_one_that_kubernetes_takes(label: str, is_good: bool) -> None:
    try:
        parsed = parse_placement(True, None, [label])
    except ExportError:
        parsed = None
    assert parsed == (Placement(namespace=None, labels=dict([label.split("=")])) if is_good else None)


# --- how it is written -----------------------------------------------------------------------------


def test_a_second_export_leaves_everything_as_it_was(tmp_path: Path) -> None:
    write(rule_files(SITE), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert write(rule_files(SITE), tmp_path) == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_file_that_differs_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    ours = tmp_path / RULES
    ours.write_text("# ours\n")
    done = run_command("rules", "export", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{ours}: differs\nnothing was written; --force writes over them\n"
    assert files_in(tmp_path) == {RULES: "# ours\n"}

    forced = run_command("rules", "export", str(tmp_path), "--force")
    assert forced.returncode == 0
    assert ours.read_text() == (ALERTS / RULES).read_text()


def test_who_reads_a_file_that_is_replaced_sees_the_old_one_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old" * 10_000)
    with (tmp_path / "a").open() as reader:
        write({"a": "new"}, tmp_path, force=True)
        assert reader.read() == "old" * 10_000
    assert files_in(tmp_path) == {"a": "new"}


def test_the_files_can_be_read_by_a_prometheus_that_is_another_user(tmp_path: Path) -> None:
    write({"a": "1"}, tmp_path)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@pytest.fixture
def _files_of_one_kib_at_most() -> Iterator[None]:
    """As on a full disk: what is longer cannot be written to its end."""
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("_files_of_one_kib_at_most")
def test_a_file_that_cannot_be_written_to_its_end_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    with pytest.raises(ExportError) as caught:
        write({"b": "x" * 2000}, tmp_path, force=True)
    assert str(caught.value) == f"{tmp_path / 'b'}: file too large"
    assert files_in(tmp_path) == {"b": "old"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_command("dashboards", "export", str(tmp_path / "file" / "below"))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"{tmp_path}/file/below(/.*)?: not a directory\n", done.stderr)


# --- Kubernetes ------------------------------------------------------------------------------------


def manifests() -> Mapping[str, dict[str, Any]]:
    placement = Placement(namespace="monitoring", labels={"release": "kube-prometheus-stack", "tier": "1"})
    texts = {**rule_manifests(Site(), placement), **dashboard_manifests(Site(), placement)}
    return {name: yaml.safe_load(text) for name, text in texts.items()}


def test_the_manifests_are_those_asked_for(tmp_path: Path) -> None:
    for group in ("rules", "dashboards"):
        options = ["--prometheus-operator", "--namespace", "monitoring", "--label", "release=kube-prometheus-stack"]
        done = run_command(group, "export", str(tmp_path), *options, "--label", "tier=1")
        assert done.returncode == 0, done.stderr
    assert {name: yaml.safe_load(text) for name, text in files_in(tmp_path).items()} == manifests()


@pytest.mark.parametrize("manifest", manifests().values(), ids=manifests())
def test_a_manifest_is_placed_and_labelled(manifest: dict[str, Any]) -> None:
    metadata = manifest["metadata"]
    assert RFC_1123.fullmatch(metadata["name"])
    assert metadata["namespace"] == "monitoring"
    assert metadata["labels"]["release"] == "kube-prometheus-stack"
    assert metadata["labels"]["tier"] == "1"  # text: Kubernetes takes no numbers there
    assert all(isinstance(value, str) for value in metadata["labels"].values())


def test_no_two_manifests_of_a_kind_have_the_same_name() -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests().values()]
    assert len(set(names)) == len(names)


def test_without_a_namespace_it_is_left_to_who_applies_them() -> None:
    for text in {**rule_manifests(Site(), NOWHERE), **dashboard_manifests(Site(), NOWHERE)}.values():
        assert "namespace" not in yaml.safe_load(text)["metadata"]


def test_the_prometheus_rule_holds_the_groups_as_they_are(tmp_path: Path) -> None:
    manifest = manifests()["twofa-exporter.prometheusrule.yml"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert manifest["spec"] == yaml.safe_load((ALERTS / RULES).read_text())
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(manifest["spec"]))
    done = subprocess.run(
        [require_program("promtool"), "check", "rules", tmp_path / "rules.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_prometheus_rule_has_only_what_its_definition_has() -> None:
    # fields and patterns of prometheusrules.monitoring.coreos.com, operator 0.82.2
    duration = re.compile(r"(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)")
    groups = manifests()["twofa-exporter.prometheusrule.yml"]["spec"]["groups"]
    assert len({group["name"] for group in groups}) == len(groups) > 0  # the key of the list
    for group in groups:
        assert group.keys() <= {"name", "interval", "limit", "rules"}
        assert duration.fullmatch(group.get("interval", "0"))
        for rule in group["rules"]:
            assert rule.keys() <= {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
            assert duration.fullmatch(rule.get("for", "0"))
            texts = [*rule.get("labels", {}).values(), *rule.get("annotations", {}).values(), rule["expr"]]
            assert all(isinstance(text, str) for text in texts)


def test_the_service_monitor_gives_the_job_that_the_rules_expect() -> None:
    manifest = manifests()["twofa-exporter.servicemonitor.yml"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert manifest["spec"] == {
        "jobLabel": "app.kubernetes.io/name",
        "selector": {"matchLabels": {"app.kubernetes.io/name": JOB}},
        "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "15s"}],
    }


def test_another_job_is_set_by_the_service_monitor() -> None:
    (endpoint,) = yaml.safe_load(rule_manifests(SITE, NOWHERE)["twofa-exporter.servicemonitor.yml"])["spec"][
        "endpoints"
    ]
    assert endpoint["relabelings"] == [{"action": "replace", "targetLabel": "job", "replacement": SITE.job}]


def test_each_dashboard_is_a_config_map_that_the_sidecar_takes() -> None:
    maps = [manifest for manifest in manifests().values() if manifest["kind"] == "ConfigMap"]
    held = {name: text for manifest in maps for name, text in manifest["data"].items()}
    assert held == {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}
    for manifest in maps:
        assert (manifest["apiVersion"], len(manifest["data"])) == ("v1", 1)
        assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert manifest["metadata"]["annotations"] == {
            "k8s-sidecar-target-directory": "2FA",
            "grafana_folder": "2FA",
        }


def test_manifests_are_small_enough_for_kubernetes() -> None:
    # a ConfigMap may hold 1 MiB; the operator keeps the rules in ConfigMaps of half of that
    for name, text in {**rule_manifests(Site(), NOWHERE), **dashboard_manifests(Site(), NOWHERE)}.items():
        assert len(text.encode()) < 1 << 19, name


def test_the_label_of_another_sidecar_can_be_given() -> None:
    placement = Placement(namespace=None, labels={"grafana_dashboard": "ours"})
    for text in dashboard_manifests(Site(), placement).values():
        assert yaml.safe_load(text)["metadata"]["labels"]["grafana_dashboard"] == "ours"


@pytest.mark.parametrize("group", ["rules", "dashboards"])
def test_the_groups_explain_themselves(group: str) -> None:
    for arguments in ([group], [group, "export", "--help"]):
        done = run_command(*arguments, env={**os.environ, "COLUMNS": "120"})
        assert "export" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
