"""`tradewind inject`: what gets a sidecar, what stays as it is, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import Tradewind
from tradewind import injection, settings

ROOT = Path(__file__).parents[2]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
ADDED = injection.sidecar("image:1", "https://controller:8443", PEM, {})
POD = {"containers": [{"name": "main", "image": "app"}]}
OURS = {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:4000/v1"}


def inject(text: str) -> str:
    return injection.inject(text, "app.yaml", ADDED)[0]


def document(kind: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    version = {"Pod": "v1", "Job": "batch/v1", "CronJob": "batch/v1"}.get(kind, "apps/v1")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web", **metadata}, "spec": spec}


def pod_of(found: Any) -> tuple[Any, Any]:
    """Labels and spec of a workload's pod."""
    template = found
    if found["kind"] == "CronJob":
        template = found["spec"]["jobTemplate"]["spec"]["template"]
    elif found["kind"] != "Pod":
        template = found["spec"]["template"]
    return template["metadata"].get("labels", {}), template["spec"]


WORKLOADS = [
    document("Pod", POD),
    *(document(kind, {"template": {"spec": POD}}) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")),
    document("CronJob", {"jobTemplate": {"spec": {"template": {"spec": POD}}}}),
]


def test_all_kinds_of_workloads_are_shown() -> None:
    assert {found["kind"] for found in WORKLOADS} == set(injection.KINDS)


@pytest.mark.parametrize("write", [yaml.safe_dump, json.dumps])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda found: found["kind"])
def test_a_workload_s_pods_get_the_sidecar_first_and_the_label(workload: Any, write: Callable[[Any], str]) -> None:
    labels, pod = pod_of(yaml.safe_load(inject(write(workload))))
    assert labels["tradewind.dev/sidecar"] == "enabled"
    assert pod["initContainers"] == [ADDED.container]
    assert pod["volumes"] == ADDED.volumes
    assert pod["containers"] == [{"name": "main", "image": "app", "env": [OURS]}]


def test_injecting_again_gives_the_same_bytes() -> None:
    once = inject("---\n".join(map(yaml.safe_dump, WORKLOADS)))
    assert inject(once) == once
    assert once.count("TRADEWIND_CONTROLLERS") == len(WORKLOADS)


def test_what_the_app_has_keeps_its_place_and_its_address() -> None:
    own = {"name": "OPENAI_BASE_URL", "value": "https://mine/v1"}
    pod = {
        "initContainers": [{"name": "first", "image": "a"}, {"name": "second", "image": "b", "env": [own]}],
        "containers": [{"name": "main", "image": "c", "env": [{"name": "A", "value": "b"}]}],
        "volumes": [{"name": "files", "emptyDir": {}}],
    }
    _, found = pod_of(yaml.safe_load(inject(yaml.safe_dump(document("Pod", pod)))))
    assert [container["name"] for container in found["initContainers"]] == ["tradewind", "first", "second"]
    assert [container["env"] for container in found["initContainers"][1:]] == [[OURS], [own]]
    assert found["containers"][0]["env"] == [{"name": "A", "value": "b"}, OURS]
    assert next(volume["name"] for volume in found["volumes"]) == "files"


UNTOUCHED = """\
# A stream as people write it.
apiVersion: v1
kind: ConfigMap   # not a workload
data: {mode: 0644,   answer: yes}
---
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
spec: {template: {spec: {containers: []}}}
---
apiVersion: v1
kind: Pod
metadata: {labels: {tradewind.dev/sidecar: disabled}}
spec: {hostNetwork: true,   containers: []}
--- # nothing
---
just: a map
...
"""


def test_everything_else_stays_as_it_is_to_the_byte() -> None:
    assert inject(UNTOUCHED) == UNTOUCHED
    workload = yaml.safe_dump(WORKLOADS[1])
    found = inject(f"{UNTOUCHED}---\n# Head.\n{workload}\n# Tail.\n---\n{UNTOUCHED}")
    assert found.startswith(f"{UNTOUCHED}---\n# Head.\napiVersion")
    assert found.endswith(f"# Tail.\n---\n{UNTOUCHED}")


def test_what_is_not_added_is_written_as_it_was() -> None:
    text = yaml.safe_dump(document("Pod", POD)) + "  volumes: [{name: x, configMap: {name: x, defaultMode: 0644}}]\n"
    text = text.replace("name: main", 'name: "main"')
    found = inject(text)
    assert '"main"' in found
    assert "defaultMode: 0644" in found


def test_aliases_and_merged_maps_are_not_changed_for_others() -> None:
    text = """
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: a, labels: {tradewind.dev/sidecar: disabled}}
  spec: &spec {containers: [&main {name: main, env: &env [{name: A, value: b}]}]}
- {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: *spec}
- apiVersion: v1
  kind: Pod
  metadata: {name: c}
  spec: {containers: [{<<: *main, name: other}, {name: more, env: *env}]}
"""
    disabled, aliased, merged = (pod_of(item)[1] for item in yaml.safe_load(inject(text))["items"])
    own = {"name": "A", "value": "b"}
    assert disabled == {"containers": [{"name": "main", "env": [own]}]}
    assert aliased["containers"] == [{"name": "main", "env": [own, OURS]}]
    assert merged["containers"] == [{"name": "other", "env": [own, OURS]}, {"name": "more", "env": [own, OURS]}]


def test_a_sidecar_of_another_version_is_renewed_in_its_place() -> None:
    old = injection.sidecar("image:0", "https://elsewhere:8443", None, {"workers": "7"})
    before = injection.inject(yaml.safe_dump(WORKLOADS[1]), "app.yaml", old)[0]
    found = yaml.safe_load(before)
    found["spec"]["template"]["spec"]["initContainers"].insert(0, {"name": "mesh", "env": [OURS]})
    _, pod = pod_of(yaml.safe_load(inject(yaml.safe_dump(found))))
    assert [container["name"] for container in pod["initContainers"]] == ["mesh", "tradewind"]
    assert pod["initContainers"][1] == ADDED.container
    assert pod["volumes"] == ADDED.volumes


@pytest.mark.parametrize(
    ("pod", "path", "said"),
    [
        ({"hostNetwork": True}, "spec.template.spec.hostNetwork", "expected `false`"),
        ({"os": {"name": "windows"}}, "spec.template.spec.os.name", "Linux only"),
        ({"containers": [{"name": "tradewind"}]}, "spec.template.spec.containers[0].name", "container name `tradewind`"),
        (
            {"initContainers": [{"name": "tradewind"}]},
            "spec.template.spec.initContainers[0].name",
            "container name `tradewind`",
        ),
        (
            {"containers": [{"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 4002}]}]},
            "spec.template.spec.containers[0].ports[1].containerPort",
            "ports 4000 and 4002",
        ),
        ({"volumes": [{"name": "tradewind-keys"}]}, "spec.template.spec.volumes[0].name", "volume name `tradewind-keys`"),
        ({"containers": {"name": "a"}}, "spec.template.spec.containers", "expected a list"),
    ],
)
def test_a_workload_that_cannot_have_a_sidecar_is_named_with_line_and_path(
    tradewind: Tradewind, tmp_path: Path, pod: Any, path: str, said: str
) -> None:
    file = tmp_path / "app.yaml"
    workload = document("Deployment", {"template": {"spec": {**POD, **pod}}})
    file.write_text("# comment\n---\n" + yaml.safe_dump(workload))
    status, out, err = tradewind("inject", "-f", file)
    assert (status, out) == (1, "")
    assert re.search(rf"app\.yaml:\d+: {re.escape(path)}: Deployment/web: .*{re.escape(said)}", err), err


def test_a_label_that_is_neither_enabled_nor_disabled_is_refused(tradewind: Tradewind, tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(json.dumps(document("Pod", POD, labels={"tradewind.dev/sidecar": "on"})))
    status, _, err = tradewind("inject", "-f", file)
    assert status == 1
    assert "`on`; expected `enabled` or `disabled`" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "absent.yaml"], "absent.yaml cannot be read"),
        (["-f", "BAD"], "bad.yaml:3: the YAML cannot be read"),
        (["-f", "APP", "--set", "workers"], "expected `name=value`"),
        (["-f", "APP", "--set", "worker=1"], "unknown setting `worker`; expected one of"),
        (["-f", "APP", "--set", "workers=many"], "expected an integer"),
        (["-f", "APP", "--set", "port=1"], "port: the sidecar sets it itself"),
        (["-f", "APP", "--trust", "APP"], "expected a PEM bundle"),
    ],
)
def test_wrong_usage_has_status_2_and_says_what_is_accepted(
    tradewind: Tradewind, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "bad.yaml").write_text("a: b\n{{ .Values.x }}: [\n")
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(WORKLOADS[0]))
    places = {"BAD": tmp_path / "bad.yaml", "APP": tmp_path / "app.yaml"}
    status, out, err = tradewind("inject", *(places.get(argument, argument) for argument in arguments))
    assert (status, out) == (2, "")
    assert said in err


def test_files_are_joined_and_the_options_are_in_the_sidecar(tradewind: Tradewind, tmp_path: Path) -> None:
    first, second, bundle = (tmp_path / name for name in ("a.yaml", "b.yaml", "ca.crt"))
    first.write_text(yaml.safe_dump(WORKLOADS[0]))
    second.write_text(yaml.safe_dump(WORKLOADS[1]))
    bundle.write_text(PEM)
    options = ("--image", "mine:2", "--namespace", "router", "--trust", bundle, "--set", "workers=2", "--set", "capture=none")
    status, out, err = tradewind("inject", "-f", first, "-f", second, *options)
    assert (status, err) == (0, "")
    for found in yaml.safe_load_all(out):
        container = pod_of(found)[1]["initContainers"][0]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        assert container["image"] == "mine:2"
        assert variables["TRADEWIND_CONTROLLERS"] == "https://tradewind-controller.router.svc:8443"
        assert variables["TRADEWIND_CONTROLLER_TRUST_PEM"] == PEM
        assert (variables["TRADEWIND_WORKERS"], variables["TRADEWIND_CAPTURE"]) == ("2", "none")


def test_without_a_bundle_it_comes_from_a_configmap_and_the_command_is_told(tradewind: Tradewind, tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(yaml.safe_dump(WORKLOADS[0]))
    status, out, err = tradewind("inject", "-f", file)
    env = pod_of(yaml.safe_load(out))[1]["initContainers"][0]["env"]
    (reference,) = (variable["valueFrom"] for variable in env if variable["name"] == "TRADEWIND_CONTROLLER_TRUST_PEM")
    assert status == 0
    assert reference == {"configMapKeyRef": {"name": "tradewind-trust", "key": "ca.crt"}}
    assert "kubectl create configmap tradewind-trust" in err


def test_a_file_without_workloads_is_printed_as_it_is_and_that_is_said(tradewind: Tradewind, tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(UNTOUCHED)
    status, out, err = tradewind("inject", "-f", file)
    assert (status, out) == (0, UNTOUCHED)
    assert "nothing was added" in err


def test_the_startup_probe_waits_longer_than_the_sidecar_for_a_plan() -> None:
    probe = ADDED.container["startupProbe"]
    (wait_s,) = (each["value"] for each in ADDED.container["env"] if each["name"] == "TRADEWIND_STARTUP_WAIT_S")
    assert probe["periodSeconds"] * probe["failureThreshold"] > int(wait_s)


def test_the_sidecar_s_variables_are_settings() -> None:
    names = {variable["name"] for variable in ADDED.container["env"]}
    assert names <= {settings.PREFIX + name.upper() for name in settings.Settings.__dataclass_fields__}


def test_the_chart_has_the_same_file() -> None:
    ours = ROOT / "python/tradewind/controller/sidecar.yaml"
    assert (ROOT / "charts/tradewind/files/sidecar.yaml").read_bytes() == ours.read_bytes()


def test_the_page_shows_what_the_command_writes() -> None:
    page = (ROOT / "docs/sidecar.md").read_text()
    before, after = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    added = injection.sidecar(
        "ghcr.io/tradewind/tradewind-gateway:0.1.0", "https://tradewind-controller.tradewind-system.svc:8443", None, {}
    )
    assert injection.inject(before, "app.yaml", added)[0] == after
