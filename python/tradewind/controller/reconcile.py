"""One pass: from what the cluster holds to a plan, and what is to be said of each object. Pure: every case is a row of a test.

An object is carried in the form that it has, or, where that one cannot be used, in its last valid form: a bad edit removes no
route. Nothing is kept against the cluster's will: every form is looked at anew in each pass, so that what was deleted, was
revoked or is missing is gone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic_core import from_json

from tradewind.artifacts.predictor import Predictors
from tradewind.controller import references
from tradewind.controller.conditions import Condition
from tradewind.controller.references import Cluster
from tradewind.controller.store import Custom, Key, Namespace
from tradewind.errors import Problem
from tradewind.resources import folder
from tradewind.resources.assemble import Assembled, assemble
from tradewind.resources.documents import Document
from tradewind.resources.folder import Resources, Sourced

API_VERSION = "tradewind.dev/v1alpha1"
MOST_ROUNDS = 8
"""Times that forms are exchanged before what is still wrong is left out: more than references can be nested."""
MOST_SAID = 3
"""Problems that a message tells of; the next one shows when these are mended."""

REFERENCES = {
    "missing_pool": "PoolNotFound",
    "not_permitted": "RefNotPermitted",
    "missing_predictor": "PredictorUnavailable",
}
"""Codes of problems that lie outside the object, and the reasons of ResolvedRefs that they become."""
MODEL_PATH = re.compile(r"spec\.models\[(\d+)\]")
REFUSALS = {"invalid_expression": "InvalidExpression", "invalid_strategy": "InvalidStrategy"}
"""Codes of problems of the object itself, and the reasons of Accepted that they become; `Invalid` for the rest."""
PROFILES = ("quality.profile", "spec", "spec.predictor", "spec.predictor.secondTier")
"""Ends of the paths at which an unknown name is a profile's."""
SILENT = {"no_policy", "no_usable_model"}
"""Codes that conditions tell otherwise."""


@dataclass(frozen=True)
class Form:
    """A spec of an object: the one it has, or the last valid one."""

    key: Key
    uid: str
    generation: int
    created: str
    spec: bytes

    @classmethod
    def of(cls, custom: Custom) -> Form:
        """The form that an object has."""
        return cls(custom.key, custom.uid, custom.generation, custom.created, custom.spec)

    def document(self) -> Document:
        """As resources are read from."""
        kind, namespace, name = self.key
        metadata = {"name": name, "namespace": namespace}
        spec = from_json(self.spec, cache_strings="all")
        value = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
        return Document(str(self.key), value, {(): 0}, self.created)


@dataclass(frozen=True)
class Snapshot:
    """Everything that a pass looks at."""

    customs: Mapping[Key, Custom]
    namespaces: Mapping[Key, Namespace]
    profiles: Mapping[tuple[str, str], Mapping[str, str]]
    """ConfigMaps that hold profiles: by (namespace, name), the values by key."""
    cluster: Cluster
    predictors: Predictors
    kept: Mapping[Key, Form]
    """The last valid form of each object."""


@dataclass(frozen=True)
class Verdict:
    """What a pass found of one object."""

    uid: str
    generation: int
    accepted: Condition
    refs: Condition
    carried: int | None
    """The generation that the plan carries; none where it carries nothing of it."""
    usable: int
    """Models of it that can be used."""
    models: int


@dataclass(frozen=True)
class Outcome:
    """A plan source and the verdicts."""

    assembled: Assembled
    plan: bytes
    verdicts: Mapping[Key, Verdict]
    kept: Mapping[Key, Form]

    @cached_property
    def carried(self) -> frozenset[Key]:
        """The objects that the plan holds something of."""
        return frozenset(key for key, verdict in self.verdicts.items() if verdict.carried is not None)

    @cached_property
    def credentials(self) -> frozenset[str]:
        """Names of the credentials that the plan needs, `namespace/secret/key`."""
        models = self.assembled.plan.models
        return frozenset(model.upstream.credential for model in models if model.upstream.credential is not None)


@dataclass
class Memory:
    """Forms that were parsed before: most objects are as they were in the last pass."""

    parsed: dict[tuple[str, int, bytes], Resources] = field(default_factory=dict)

    def parse(self, form: Form) -> Resources:
        """The resource of a form, or its problems."""
        key = (form.uid, form.generation, form.spec)
        found = self.parsed.get(key)
        if found is None:
            found = self.parsed[key] = _slim(folder.parse([form.document()]), form)
        return found

    def forget(self, used: Iterable[Form]) -> None:
        """Drops what is no longer used."""
        keys = {(form.uid, form.generation, form.spec) for form in used}
        self.parsed = {key: found for key, found in self.parsed.items() if key in keys}


@dataclass(frozen=True)
class Round:
    """One assembly of the forms in use."""

    assembled: Assembled
    problems: Mapping[Key, tuple[Problem, ...]]
    missing: Mapping[Key, Mapping[str, Condition]]
    """Models that cannot be used, by pool."""
    resources: Resources
    candidates: Mapping[str, int]
    """How many each route has, by its id."""


def run(snapshot: Snapshot, memory: Memory) -> Outcome:
    """Makes the pass."""
    own = {key: Form.of(custom) for key, custom in snapshot.customs.items()}
    kept = {key: form for key, form in snapshot.kept.items() if key in own and own[key].uid == form.uid}
    forms: dict[Key, Form] = dict(own)
    found: dict[Key, tuple[Problem, ...]] = {}
    missing: dict[Key, Mapping[str, Condition]] = {}
    for left in reversed(range(MOST_ROUNDS)):
        made = _assemble(forms, snapshot, memory)
        for key, form in own.items():
            if forms.get(key) is form:
                found[key] = made.problems.get(key, ())
                missing[key] = made.missing.get(key, {})
        exchanged = _exchange(forms, own, kept, made, last=left == 0)
        if exchanged == forms:
            break
        forms = exchanged
    carried = _carried(forms, made)
    after = {key: forms[key] if key in carried else kept[key] for key in own if key in carried or key in kept}
    memory.forget([*own.values(), *after.values()])
    verdicts = {key: _verdict(own[key], forms.get(key), carried, found.get(key, ()), missing.get(key, {}), made) for key in own}
    verdicts = {key: _with_callers(key, verdict, snapshot.cluster) for key, verdict in verdicts.items()}
    return Outcome(made.assembled, made.assembled.plan.to_json(), verdicts, after)


def _slim(parsed: Resources, form: Form) -> Resources:
    """Without the values that it was parsed from: the larger part of its memory, and nobody reads them again."""
    bare = Document(str(form.key), {}, {(): 0}, form.created)
    return replace(
        parsed,
        pools={name: Sourced(found.resource, bare) for name, found in parsed.pools.items()},
        policies={name: Sourced(found.resource, bare) for name, found in parsed.policies.items()},
    )


def _assemble(forms: Mapping[Key, Form], snapshot: Snapshot, memory: Memory) -> Round:
    resources = _resources(forms, snapshot, memory)
    missing = {
        Key("ModelPool", *name): found
        for name, pool in resources.pools.items()
        if (found := references.missing(pool.resource, snapshot.cluster))
    }
    assembled = assemble(resources, snapshot.predictors, _ids(missing))
    without = _without_profile(assembled, resources)
    if without:  # Which profiles are missing, only the assembly tells.
        missing = {key: {**without.get(key, {}), **missing.get(key, {})} for key in missing.keys() | without.keys()}
        assembled = assemble(resources, snapshot.predictors, _ids(missing))
    problems: dict[Key, list[Problem]] = defaultdict(list)
    for problem in assembled.problems:
        key = _owner(problem)
        if key is not None:
            problems[key].append(problem)
    candidates = {route.id: len(route.candidates) for route in assembled.plan.routes}
    return Round(assembled, {key: tuple(rows) for key, rows in problems.items()}, missing, resources, candidates)


def _ids(missing: Mapping[Key, Mapping[str, Condition]]) -> frozenset[str]:
    return frozenset(f"{key.namespace}/{key.name}/{model}" for key, models in missing.items() for model in models)


def _owner(problem: Problem) -> Key | None:
    parts = problem.file.split("/") if problem.file else []
    return Key(*parts) if len(parts) == 3 else None


def _without_profile(assembled: Assembled, resources: Resources) -> dict[Key, dict[str, Condition]]:
    """Models whose ConfigMap holds no profile for them."""
    found: dict[Key, dict[str, Condition]] = defaultdict(dict)
    for problem in assembled.problems:
        key, place = _owner(problem), MODEL_PATH.match(problem.path)
        if problem.code == "missing_profile" and key is not None and place is not None:
            name = resources.pools[key.namespace, key.name].resource.spec.models[int(place[1])].name
            found[key][name] = Condition("ResolvedRefs", "ProfileNotFound", f"model `{name}`: {problem.message}")
    return dict(found)


def _resources(forms: Mapping[Key, Form], snapshot: Snapshot, memory: Memory) -> Resources:
    pieces = [memory.parse(form) for form in forms.values()]
    documents = [
        Document(
            str(key),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key.name, "labels": dict(labels.labels)}},
            {(): 0},
        )
        for key, labels in snapshot.namespaces.items()
    ]
    documents += [
        Document(
            f"ConfigMap/{namespace}/{name}",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": dict(values)},
            {(): 0},
        )
        for (namespace, name), values in snapshot.profiles.items()
    ]
    around = folder.parse(documents)
    return replace(
        around,
        pools={name: pool for piece in pieces for name, pool in piece.pools.items()},
        policies={name: policy for piece in pieces for name, policy in piece.policies.items()},
        broken=frozenset(row for piece in pieces for row in piece.broken),
        problems=tuple(problem for piece in pieces for problem in piece.problems),
    )


def _exchange(
    forms: Mapping[Key, Form], own: Mapping[Key, Form], kept: Mapping[Key, Form], made: Round, *, last: bool
) -> dict[Key, Form]:
    """The forms of the next round: what cannot be used gives way to its last valid form, what is wrong even so is left out."""
    carried = _carried(forms, made)
    after: dict[Key, Form] = {}
    for key, form in forms.items():
        wrong = any(_refuses(problem) for problem in made.problems.get(key, ()))
        if key in carried and not wrong:
            after[key] = form
        elif form is own[key] and key in kept and kept[key].spec != form.spec and not last:
            after[key] = kept[key]
        elif not wrong:
            after[key] = form
    return after


def _refuses(problem: Problem) -> bool:
    return problem.severity == "error" and problem.code not in REFERENCES and problem.code not in SILENT


def _carried(forms: Mapping[Key, Form], made: Round) -> dict[Key, int]:
    """Which objects the plan holds something of, each with the generation."""
    plan = made.assembled.plan
    pools = {"/".join(model.id.split("/", 2)[:2]) for model in plan.models}
    held: dict[Key, int] = {}
    for key, form in forms.items():
        place = f"{key.namespace}/{key.name}"
        if place in (made.candidates if key.kind == "RoutingPolicy" else pools) and not _shadowed(key, made):
            held[key] = form.generation
    return held


def _shadowed(key: Key, made: Round) -> bool:
    """Whether a policy has lost all its aliases."""
    lost = [problem for problem in made.problems.get(key, ()) if problem.code == "conflicted"]
    if not lost:
        return False
    policy = made.resources.policies.get((key.namespace, key.name))
    return policy is not None and len(lost) >= len(policy.resource.spec.match.models)


def _verdict(
    own: Form,
    used: Form | None,
    carried: Mapping[Key, int],
    problems: tuple[Problem, ...],
    missing: Mapping[str, Condition],
    made: Round,
) -> Verdict:
    key = own.key
    models, usable = _models(key, made) if used is not None else (0, 0)
    return Verdict(
        own.uid,
        own.generation,
        _accepted(key, problems, used is own, made),
        _refs(problems, missing),
        carried.get(key),
        usable,
        models,
    )


def _models(key: Key, made: Round) -> tuple[int, int]:
    """Models of an object, and those of them that can be used."""
    if key.kind == "ModelPool":
        pool = made.resources.pools.get((key.namespace, key.name))
        count = len(pool.resource.spec.models) if pool is not None else 0
        return count, count - len(made.missing.get(key, {}))
    policy = made.resources.policies.get((key.namespace, key.name))
    if policy is None:
        return 0, 0
    refs = [(ref.namespace or key.namespace, ref.name) for ref in policy.resource.spec.pool_refs]
    pools: list[Sourced[Any]] = [made.resources.pools[ref] for ref in refs if ref in made.resources.pools]
    return sum(len(pool.resource.spec.models) for pool in pools), made.candidates.get(f"{key.namespace}/{key.name}", 0)


def _accepted(key: Key, problems: tuple[Problem, ...], in_use: bool, made: Round) -> Condition:
    wrong = [problem for problem in problems if _refuses(problem)]
    if wrong:
        return Condition("Accepted", _refusal(wrong[0]), _said(wrong))
    lost = [problem for problem in problems if problem.code == "conflicted"]
    if lost:
        reason = "Conflicted" if in_use and _shadowed(key, made) else "PartlyConflicted"
        return Condition("Accepted", reason, _said(lost))
    return Condition("Accepted", "Accepted", "valid")


def _refusal(problem: Problem) -> str:
    if problem.code == "unknown_name" and problem.path.endswith(PROFILES):
        return "UnknownProfile"
    return REFUSALS.get(problem.code, "Invalid")


def _refs(problems: tuple[Problem, ...], missing: Mapping[str, Condition]) -> Condition:
    outside = [problem for problem in problems if problem.code in REFERENCES]
    if outside:
        return Condition("ResolvedRefs", REFERENCES[outside[0].code], _said(outside))
    if missing:
        rows = list(missing.values())
        rest = f"; and {len(rows) - MOST_SAID} more models" if len(rows) > MOST_SAID else ""
        return replace(rows[0], message="; ".join(row.message for row in rows[:MOST_SAID]) + rest)
    return Condition("ResolvedRefs", "ResolvedRefs", "everything that it names is there")


def _with_callers(key: Key, verdict: Verdict, cluster: Cluster) -> Verdict:
    """A policy names no Secret, but its callers' keys are in some: where they may not be read, somebody should know."""
    if key.kind != "RoutingPolicy" or verdict.refs.status != "True" or not cluster.secrets.forbidden(key.namespace):
        return verdict
    said = f"{verdict.refs.message}; callers have no API keys here: {references.closed('Secrets', key.namespace, cluster)}"
    return replace(verdict, refs=replace(verdict.refs, message=said))


def _said(problems: list[Problem]) -> str:
    parts = [f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems[:MOST_SAID]]
    rest = f"; and {len(problems) - MOST_SAID} more" if len(problems) > MOST_SAID else ""
    return "; ".join(parts) + rest
