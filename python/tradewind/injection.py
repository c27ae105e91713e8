"""Sidecars in manifests: does to files what the chart's policy does to pods, from the same `controller/sidecar.yaml`.

Works on the nodes of the YAML, so that what is not touched keeps its order, its quotes and its numbers as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

import yaml

from tradewind import settings
from tradewind.errors import ConfigurationError, Problem, UsageError, unknown
from tradewind.resources.documents import DEEPEST, format_path

LABEL = "tradewind.dev/sidecar"
NAME = "tradewind"
PORTS = (4000, 4002)
"""Of the sidecar: calls, health."""
TRUST = "tradewind-trust"
"""ConfigMap of the app's namespace that the bundle is taken from where it is not given."""

Path = tuple[str | int, ...]
Change = Callable[[yaml.Node, Path], yaml.Node]

_TEMPLATE: Path = ("spec", "template")
_TEMPLATES: Mapping[tuple[str, str], Path] = {
    ("", "Pod"): (),
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
}
KINDS = tuple(kind for _, kind in _TEMPLATES)
"""What is injected, and a List of it."""

_MAP, _STR, _MERGE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_NULL, _BOOL = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"
_TRUST_VARIABLE = "TRADEWIND_CONTROLLER_TRUST_PEM"


@dataclass(frozen=True)
class Sidecar:
    """What is added to a pod, as Kubernetes has it."""

    container: Mapping[str, Any]
    volumes: Sequence[Mapping[str, Any]]
    app: Sequence[Mapping[str, str]]
    """Variables of the app's containers, where they have none of that name."""


def sidecar(image: str, controllers: str, trust: str | None, given: Mapping[str, str]) -> Sidecar:
    """The file with its places filled in.

    `trust` is a PEM bundle; without one it is taken from ConfigMap `tradewind-trust` of the app's namespace. `given` are
    settings by their names in `tradewind.settings`. Raises `UsageError` for one that is not known, or that the sidecar sets
    itself.
    """
    file = yaml.safe_load(resources.files("tradewind").joinpath("controller/sidecar.yaml").read_text())
    container: dict[str, Any] = file["container"]
    places = {"${IMAGE}": image, "${CONTROLLERS}": controllers}
    container["image"] = places[container["image"]]
    for variable in container["env"]:
        variable["value"] = places.get(variable["value"], variable["value"])
        if variable["name"] == _TRUST_VARIABLE and trust is None:
            del variable["value"]
            variable["valueFrom"] = {"configMapKeyRef": {"name": TRUST, "key": "ca.crt"}}
        elif variable["name"] == _TRUST_VARIABLE:
            variable["value"] = trust
    known = sorted(entry.name for entry in fields(settings.Settings))
    fixed = {variable["name"] for variable in container["env"]}
    for name, value in given.items():
        variable_name = settings.PREFIX + name.upper()
        if variable_name in fixed:
            raise UsageError(f"{name}: the sidecar sets it itself", name)
        if name not in known:
            raise UsageError(unknown("setting", name, known), name)
        settings.from_environment({variable_name: value})
    chosen = {**file["settings"], **given}
    container["env"] += [{"name": settings.PREFIX + name.upper(), "value": chosen[name]} for name in sorted(chosen)]
    return Sidecar(container, file["volumes"], file["app"])


def inject(text: str, file: str, added: Sidecar) -> tuple[str, int]:
    """The manifests with the sidecar in each workload, and how many workloads have it now.

    Every other document, and every one that has this very sidecar, stays as it is to the byte; a changed one loses the comments
    inside. A sidecar of another version is replaced. Pods labelled `disabled` are left out. Raises `UsageError` for what is no
    YAML, and `ConfigurationError` with all workloads that cannot have a sidecar.
    """
    edit = _Edit(added, file)
    pieces: list[str] = []
    done = 0
    for node in _documents(text, file):
        changed = edit.document(node)
        if _same(changed, node):
            continue
        start, end = _span(text, node)
        pieces += [text[done:start], _serialized(changed)]
        done = end
    if edit.problems:
        raise ConfigurationError(tuple(edit.problems))
    return "".join([*pieces, text[done:]]), edit.injected


class _Refused(Exception):
    def __init__(self, code: str, message: str, path: Path, node: yaml.Node) -> None:
        super().__init__(message)
        self.code = code
        self.path = path
        self.line = node.start_mark.line + 1 if node.start_mark else None


class _Edit:
    """The sidecar on its way into the documents of a file. No node is changed, for it may stand elsewhere by an alias."""

    def __init__(self, added: Sidecar, file: str) -> None:
        self._added = added
        self._file = file
        self.injected = 0
        self.problems: list[Problem] = []

    def document(self, node: yaml.Node) -> yaml.Node:
        """A workload, or a List of some, with the sidecar; everything else as it is."""
        try:
            return self._object(node, ())
        except _Refused as refused:
            self._note(refused, node)
            return node

    def _object(self, node: yaml.Node, path: Path) -> yaml.Node:
        kind = _text(node, "kind")
        version = _text(node, "apiVersion")
        group = version.rpartition("/")[0]
        if (group, kind) == ("", "List") and _find(node, "items") is not None:
            return _at(node, ("items",), self._items, path)
        where = _TEMPLATES.get((group, kind))
        if where is None:
            return node
        _need_tree(node, path)
        return _at(node, where, self._template, path)

    def _items(self, node: yaml.Node, path: Path) -> yaml.Node:
        found = []
        for index, item in enumerate(_entries(node, path)):
            try:
                found.append(self._object(item, (*path, index)))
            except _Refused as refused:
                self._note(refused, item)
                found.append(item)
        return _sequence(node, found)

    def _note(self, refused: _Refused, node: yaml.Node) -> None:
        who = "/".join(part for part in (_text(node, "kind"), _text(_find(node, "metadata"), "name")) if part)
        message = f"{who}: {refused}" if who else str(refused)
        self.problems.append(Problem(refused.code, message, path=format_path(refused.path), file=self._file, line=refused.line))

    def _template(self, node: yaml.Node, path: Path) -> yaml.Node:
        _need_map(node, path)
        labels: Path = ("metadata", "labels", LABEL)
        label = _text(_find(_find(node, "metadata"), "labels"), LABEL)
        if label == "disabled":
            return node
        if label not in ("", "enabled"):
            raise _Refused("invalid_label", f"`{label}`; expected `enabled` or `disabled`", (*path, *labels), node)
        spec = _find(node, "spec")
        if spec is None:
            raise _Refused("invalid_workload", "the pod has no `spec`", path, node)
        self.injected += 1
        labelled = node if label else _at(node, labels, lambda _, __: _node("enabled"), path, make=True)
        return _at(labelled, ("spec",), self._pod, path)

    def _pod(self, node: yaml.Node, path: Path) -> yaml.Node:
        _need_map(node, path)
        inits, containers = (_listed(node, name, path) for name in ("initContainers", "containers"))
        present = [container for container in inits if _is_sidecar(container)]
        self._check(node, path, present)
        for name, entries in (("initContainers", inits), ("containers", containers)):
            found = [
                entry if entry in present else self._app(entry, (*path, name, index)) for index, entry in enumerate(entries)
            ]
            if name == "initContainers":
                found = _placed(found, self._added.container, first=True)
            node = _with(node, name, _sequence(_find(node, name), found))
        volumes = _listed(node, "volumes", path)
        for volume in self._added.volumes:
            volumes = _placed(volumes, volume, first=False)
        return _with(node, "volumes", _sequence(_find(node, "volumes"), volumes))

    def _app(self, container: yaml.Node, path: Path) -> yaml.Node:
        _need_map(container, path)
        variables = _listed(container, "env", path)
        names = {_text(variable, "name") for variable in variables}
        absent = [_node(variable) for variable in self._added.app if variable["name"] not in names]
        return _with(container, "env", _sequence(_find(container, "env"), [*variables, *absent])) if absent else container

    def _check(self, pod: yaml.Node, path: Path, present: Sequence[yaml.Node]) -> None:
        """As the chart's ValidatingAdmissionPolicy."""
        network = _find(pod, "hostNetwork")
        if network is not None and network.tag == _BOOL and network.value.lower() in ("true", "yes", "on"):
            message = (
                "a pod with the network of its node cannot have a sidecar, which everybody there could call; expected `false`"
            )
            raise _Refused("host_network", message, (*path, "hostNetwork"), network)
        system = _text(_find(pod, "os"), "name")
        if system not in ("", "linux"):
            raise _Refused("not_linux", f"`{system}`; the sidecar runs on Linux only", (*path, "os", "name"), pod)
        for name in ("containers", "initContainers"):
            for index, entry in enumerate(_listed(pod, name, path)):
                if entry not in present:
                    self._check_container(entry, (*path, name, index))
        ours = {volume["name"] for volume in self._added.volumes}
        for index, volume in enumerate(_listed(pod, "volumes", path)):
            if not present and _text(volume, "name") in ours:
                message = f"the sidecar needs the volume name `{_text(volume, 'name')}`"
                raise _Refused("name_taken", message, (*path, "volumes", index, "name"), volume)

    def _check_container(self, container: yaml.Node, path: Path) -> None:
        if _text(container, "name") == NAME:
            raise _Refused("name_taken", f"the sidecar needs the container name `{NAME}`", (*path, "name"), container)
        for index, port in enumerate(_listed(container, "ports", path)):
            if _text(port, "containerPort") in map(str, PORTS):
                message = f"the sidecar needs the ports {' and '.join(map(str, PORTS))}"
                raise _Refused("port_taken", message, (*path, "ports", index, "containerPort"), port)


def _is_sidecar(container: yaml.Node) -> bool:
    asked = (_text(variable, "name") for variable in _children(_find(container, "env")))
    return (
        _text(container, "name") == NAME and _text(container, "restartPolicy") == "Always" and "TRADEWIND_CONTROLLERS" in asked
    )


def _placed(entries: Sequence[yaml.Node], added: Mapping[str, Any], first: bool) -> list[yaml.Node]:
    """The entries with ours: in place of one of its name, else as the first or the last."""
    ours = _node(added)
    if any(_text(entry, "name") == added["name"] for entry in entries):
        return [ours if _text(entry, "name") == added["name"] else entry for entry in entries]
    return [ours, *entries] if first else [*entries, ours]


# Nodes of YAML.


def _documents(text: str, file: str) -> Iterator[yaml.Node]:
    try:
        yield from yaml.compose_all(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        where = f"{file}:{mark.line + 1}" if mark else file
        raise UsageError(f"{where}: the YAML cannot be read: {said}", file) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: the YAML cannot be read: {error}", file) from None


class _Representer(yaml.representer.SafeRepresenter):
    """Writes what stands twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _node(value: Any) -> yaml.Node:
    node: yaml.Node = _Representer(sort_keys=False).represent_data(value)
    return _literal(node)


def _literal(node: yaml.Node) -> yaml.Node:
    if isinstance(node, yaml.ScalarNode) and "\n" in node.value:
        node.style = "|"
    elif isinstance(node, yaml.CollectionNode):
        node.flow_style = False
        for child in _children(node):
            _literal(child)
    return node


def _children(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _flat(node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    """Its entries, those of merged maps (`<<`) included; its own win."""
    if not any(key.tag == _MERGE for key, _ in node.value):
        return list(node.value)
    merged: list[tuple[yaml.Node, yaml.Node]] = []
    own = [(key, value) for key, value in node.value if key.tag != _MERGE]
    names = {key.value for key, _ in own}
    for key, value in node.value:
        for source in (value.value if isinstance(value, yaml.SequenceNode) else [value]) if key.tag == _MERGE else []:
            for entry in _flat(source) if isinstance(source, yaml.MappingNode) else []:
                if entry[0].value not in names:
                    names.add(entry[0].value)
                    merged.append(entry)
    return merged + own


def _find(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """The value of a key; None where it is absent or null."""
    if not isinstance(node, yaml.MappingNode):
        return None
    found = [value for key, value in _flat(node) if key.value == name]
    return found[-1] if found and found[-1].tag != _NULL else None


def _text(node: yaml.Node | None, name: str) -> str:
    found = _find(node, name)
    return found.value if isinstance(found, yaml.ScalarNode) else ""


def _entries(node: yaml.Node, path: Path) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise _Refused("invalid_workload", "expected a list", path, node)
    return list(node.value)


def _listed(node: yaml.Node, name: str, path: Path) -> list[yaml.Node]:
    found = _find(node, name)
    return [] if found is None else _entries(found, (*path, name))


def _need_map(node: yaml.Node, path: Path) -> None:
    if not isinstance(node, yaml.MappingNode):
        raise _Refused("invalid_workload", "expected a map", path, node)


def _need_tree(node: yaml.Node, path: Path, depth: int = 0) -> None:
    """An alias to a node around itself has no end."""
    if depth > DEEPEST:
        raise _Refused("invalid_yaml", f"the document is nested deeper than {DEEPEST} levels", path[:3], node)
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE]
        twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
        if twice is not None:
            raise _Refused("duplicate_key", f"`{twice}` stands twice", (*path, twice), node)
    named = ((key.value, value) for key, value in node.value) if isinstance(node, yaml.MappingNode) else None
    for name, child in named or enumerate(_children(node)):
        _need_tree(child, (*path, name), depth + 1)


def _with(node: yaml.Node, name: str, value: yaml.Node) -> yaml.MappingNode:
    """A copy of a map with another value of a key, which comes last where it is new."""
    assert isinstance(node, yaml.MappingNode)
    entries = _flat(node)
    if any(key.value == name for key, _ in entries):
        entries = [(key, value if key.value == name else old) for key, old in entries]
    else:
        entries.append((_node(name), value))
    return yaml.MappingNode(node.tag, entries, node.start_mark, node.end_mark, node.flow_style if node.value else False)


def _sequence(old: yaml.Node | None, entries: list[yaml.Node]) -> yaml.SequenceNode:
    flow = isinstance(old, yaml.SequenceNode) and bool(old.value) and old.flow_style
    start, end = (old.start_mark, old.end_mark) if old is not None else (None, None)
    return yaml.SequenceNode("tag:yaml.org,2002:seq", entries, start, end, flow)


def _at(node: yaml.Node, where: Path, change: Change, path: Path, make: bool = False) -> yaml.Node:
    """A copy with a change somewhere inside. What is absent on the way there is made, or refused."""
    if not where:
        return change(node, path)
    _need_map(node, path)
    name = str(where[0])
    inner = _find(node, name)
    if inner is None and not make:
        raise _Refused("invalid_workload", f"`{name}` is missing", path, node)
    inner = yaml.MappingNode(_MAP, [], flow_style=False) if inner is None else inner
    return _with(node, name, _at(inner, where[1:], change, (*path, name), make))


def _same(left: yaml.Node, right: yaml.Node) -> bool:
    if left is right:
        return True
    if type(left) is not type(right) or left.tag != right.tag:
        return False
    if isinstance(left, yaml.ScalarNode):
        return bool(left.value == right.value)
    ours, theirs = (
        ([part for entry in _flat(node) for part in entry] if isinstance(node, yaml.MappingNode) else _children(node))
        for node in (left, right)
    )
    return len(ours) == len(theirs) and all(map(_same, ours, theirs))


def _span(text: str, node: yaml.Node) -> tuple[int, int]:
    """Where a document stands, without the comments that follow it."""
    start, end = node.start_mark.index, node.end_mark.index
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip(" "):
        start = line
    lines = text[start:end].splitlines(keepends=True)
    kept = len(lines)
    while kept and (not lines[kept - 1].strip() or lines[kept - 1].startswith("#")):
        kept -= 1
    comment = next((index for index in range(kept, len(lines)) if lines[index].startswith("#")), len(lines))
    end -= sum(map(len, lines[comment:]))
    # What is written ends its line.
    return start, end + 1 if text[end : end + 1] == "\n" and not text[start:end].endswith("\n") else end


def _serialized(node: yaml.Node) -> str:
    text: str = yaml.serialize(node, Dumper=yaml.SafeDumper, width=1 << 20, allow_unicode=True)
    return text
