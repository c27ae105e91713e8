"""From resources to a plan source: the first of the two steps, the second being the core's `compile`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tradewind import core
from tradewind.artifacts import plan
from tradewind.artifacts.predictor import Artifact, Predictors
from tradewind.errors import Problem, listed, unknown
from tradewind.resources import formats, problems, profiles, tenants
from tradewind.resources.documents import Document, Path
from tradewind.resources.folder import Resources, Sourced
from tradewind.resources.model_pool import Model, ModelPool, Upstream
from tradewind.resources.origins import Origins
from tradewind.resources.profiles import MOST_LISTED
from tradewind.resources.routing_policy import Constraints, RoutingPolicy, Strategy, Timeouts
from tradewind.resources.tenants import Tenants


@dataclass(frozen=True)
class Assembled:
    """A plan source, the predictors that it names, and all problems: of the resources, and of the plan that they make."""

    plan: plan.PlanSource
    predictors: Predictors
    problems: tuple[Problem, ...]

    @property
    def refused(self) -> bool:
        """Whether a problem refuses the plan."""
        return any(problem.severity == "error" for problem in self.problems)


@dataclass(frozen=True)
class Given:
    """What a plan is assembled from."""

    resources: Resources
    predictors: Predictors
    unusable: frozenset[str]
    """Models, `namespace/pool/name`, that cannot be called: they are left out."""
    tenants: Tenants


@dataclass(frozen=True)
class Made:
    """What has been assembled so far."""

    origins: Origins = field(default_factory=Origins)
    profiles: profiles.Table = field(default_factory=profiles.Table)
    keys: dict[str, str | None] = field(default_factory=dict)
    """By model, the key of its own profile; none where that is wrong."""
    problems: list[Problem] = field(default_factory=list)


def assemble(resources: Resources, predictors: Predictors, unusable: frozenset[str] = frozenset()) -> Assembled:
    """Assembles a plan source, and compiles it to learn the remaining problems.

    What refers to something that is wrong is left out, so that one mistake is named once. So are the models that are
    `unusable`, and policies that have no others.
    """
    given = Given(resources, predictors, unusable, tenants.of(resources))
    made = Made(problems=list(resources.problems))
    models = [model for pool in _in_order(resources) for model in _models(pool, given, made)]
    routes = [route for policy in by_priority(resources) for route in _route(policy, given, made)]
    source = plan.PlanSource(made.profiles.by_key, tuple(models), tuple(routes))
    used = {digest for route in routes for digest in route.predictors}
    others = {digest: artifact for digest, artifact in predictors.others.items() if digest in used}
    named = Predictors(predictors.default, others, predictors.missing)
    found = core.check_plan(source.to_json(), named.graphs)
    made.problems.extend(made.origins.locate(problem) for problem in found)
    return Assembled(source, named, tuple(made.problems))


def by_priority(resources: Resources) -> list[Sourced[RoutingPolicy]]:
    """Policies as conflicts are settled: larger priority first, then the older, then by name. Namespaces do not conflict."""
    return sorted(
        resources.policies.values(),
        key=lambda sourced: (
            sourced.resource.metadata.namespace,
            -sourced.resource.spec.priority,
            sourced.document.created,
            sourced.resource.metadata.name,
        ),
    )


def predictors_wanted(resources: Resources) -> list[tuple[str, str]]:
    """Digest and URL of each predictor that a policy names; a digest may have several URLs."""
    named = [policy.resource.spec.predictor for policy in resources.policies.values()]
    tiers = [tier for first in named if first is not None for tier in (first, first.second_tier) if tier is not None]
    return sorted({(_digest(tier.sha256), tier.url) for tier in tiers if tier.sha256 is not None and tier.url is not None})


def _in_order(resources: Resources) -> list[Sourced[ModelPool]]:
    return [resources.pools[name] for name in sorted(resources.pools)]


def _models(sourced: Sourced[ModelPool], given: Given, made: Made) -> Iterator[plan.Model]:
    pool = sourced.resource
    usable = [(index, model) for index, model in enumerate(pool.spec.models) if _id(pool, model) not in given.unusable]
    keys = tuple([_own_key(sourced, index, given, made) for index, _ in usable])
    for index, _ in usable:
        made.origins.add_model(sourced.document, ("spec", "models", index))
    remembered = _MODELS.get(sourced.document)
    wanted = (keys, tuple(index for index, _ in usable))
    if remembered is None or remembered[0] != wanted:
        models = tuple(_model(pool, model, key) for (_, model), key in zip(usable, keys, strict=True))
        remembered = _MODELS[sourced.document] = (wanted, models)
    yield from remembered[1]


# A controller assembles all pools for each event of one: what a pool became is kept for as long as its document.
_MODELS: WeakKeyDictionary[Document, tuple[object, tuple[plan.Model, ...]]] = WeakKeyDictionary()


def _own_key(sourced: Sourced[ModelPool], index: int, given: Given, made: Made) -> str:
    pool, model = sourced.resource, sourced.resource.spec.models[index]
    found = profiles.find(model, pool.metadata.namespace, given.resources, given.predictors)
    if isinstance(found, plan.Profile):
        key = made.keys[_id(pool, model)] = made.profiles.add(found)
        return key
    if found is not None:
        path: Path = ("spec", "models", index, *found.field)
        made.problems.append(problems.problem(sourced.document, path, found.code, found.message, found.accepted))
    made.keys[_id(pool, model)] = None
    # The plan is refused already; an average profile lets the core find what else is wrong.
    return made.profiles.add(_AVERAGE)


_AVERAGE = plan.Profile(bias=0.0)


def _id(pool: ModelPool, model: Model) -> str:
    return f"{pool.metadata.namespace}/{pool.metadata.name}/{model.name}"


def _model(pool: ModelPool, model: Model, profile: str) -> plan.Model:
    price, limits, latency = model.price, model.limits, model.latency
    cached, first_token = price.cached_input_per_million, latency.first_token
    return plan.Model(
        id=_id(pool, model),
        upstream=_upstream(pool.metadata.namespace, model.name, model.upstream),
        price=plan.Price(
            formats.nanousd(price.input_per_million),
            formats.nanousd(price.output_per_million),
            formats.nanousd(cached) if cached is not None else None,
        ),
        limits=plan.Limits(limits.context_tokens, limits.output_tokens, limits.concurrent_requests_per_gateway),
        profile=profile,
        capabilities=tuple(sorted(capability.lower() for capability in model.capabilities)),
        labels=model.labels,
        latency=plan.Latency(
            formats.milliseconds(first_token) if first_token is not None else None, latency.output_tokens_per_second
        ),
    )


def _upstream(namespace: str, name: str, upstream: Upstream) -> plan.Upstream:
    service = upstream.service
    url = upstream.url or ""
    if service is not None:
        url = f"http://{service.name}.{namespace}.svc:{service.port}{service.path}"
    secret = upstream.credentials.secret_key_ref if upstream.credentials is not None else None
    return plan.Upstream(
        url=url.rstrip("/"),
        dialect=upstream.dialect.lower(),
        model=upstream.model or name,
        credential=f"{namespace}/{secret.name}/{secret.key}" if secret is not None else None,
    )


Candidates = list[tuple[str, Model]]
"""Models of the pools that a policy refers to, with their ids."""


def _route(sourced: Sourced[RoutingPolicy], given: Given, made: Made) -> Iterator[plan.Route]:
    """The route of a policy; none where it cannot be one."""
    policy = sourced.resource
    candidates = _candidates(sourced, given, made)
    predictor = _predictor(sourced, given, made)
    if candidates is None or predictor is None:
        return
    made.problems.extend(_unmatched_labels(sourced, candidates))
    own = _profiles(sourced, candidates, predictor, made)
    usable = _usable(sourced, candidates, given, made)
    if own is None or not usable or not _fits(sourced, candidates, given, made):
        return
    made.origins.add_route(sourced.document)
    yield plan.Route(
        id=f"{policy.metadata.namespace}/{policy.metadata.name}",
        aliases=tuple(policy.spec.match.models),
        predictor=predictor.digest,
        candidates=tuple(id for id, _ in usable),
        strategy=_strategy(policy.spec.strategy, _lost(sourced, candidates, given)),
        constraints=_constraints(policy.spec.constraints),
        timeouts=_timeouts(policy.spec.timeouts),
        retry_attempts=policy.spec.retry.attempts,
        when=policy.spec.match.when,
        callers=tenants.callers(policy.spec.callers, policy.metadata.namespace, given.tenants),
        profiles={id: key for id, key in own.items() if id not in given.unusable},
        second_tier=_second_tier(policy, usable, given),
    )


def _candidates(sourced: Sourced[RoutingPolicy], given: Given, made: Made) -> Candidates | None:
    """Of the pools that are there and open to the policy; none where there is no such pool, or one is named twice."""
    namespace, refs = sourced.resource.metadata.namespace, sourced.resource.spec.pool_refs
    keys = [(ref.namespace or namespace, ref.name) for ref in refs]
    pools = [_pool(sourced, index, key, given, made) for index, key in enumerate(keys)]
    if len(set(keys)) < len(keys):  # The table's rule of this name does not know the policy's namespace.
        twice = listed(sorted({"/".join(key) for key in keys if keys.count(key) > 1}))
        message = f"a pool is referred to twice, with and without its namespace: {twice}"
        made.problems.append(problems.problem(sourced.document, ("spec", "poolRefs"), "duplicate_pool", message))
        return None
    found = [(_id(pool.resource, model), model) for pool in pools if pool is not None for model in pool.resource.spec.models]
    return found or None


def _pool(
    sourced: Sourced[RoutingPolicy], index: int, key: tuple[str, str], given: Given, made: Made
) -> Sourced[ModelPool] | None:
    """A pool that a policy may refer to."""
    wrong = _wrong_pool(sourced.resource.metadata.namespace, key, given)
    if wrong is None:
        return given.resources.pools.get(key)
    made.problems.append(problems.problem(sourced.document, ("spec", "poolRefs", index), *wrong))
    return None


def _wrong_pool(namespace: str, key: tuple[str, str], given: Given) -> tuple[str, str, tuple[str, ...]] | None:
    """Code, message and accepted values, where a pool cannot be referred to from a namespace."""
    pool = given.resources.pools.get(key)
    if pool is None:
        if ("ModelPool", *key) in given.resources.broken:
            return None
        # The pools that others keep to themselves are not this policy's to know.
        known = tuple("/".join(name) for name, each in sorted(given.resources.pools.items()) if _open(each, namespace, given))
        return "missing_pool", unknown("pool", "/".join(key), known[:MOST_LISTED]), known
    if _open(pool, namespace, given):
        return None
    message = f"ModelPool `{'/'.join(key)}` does not allow namespace `{namespace}`: its `allowedNamespaces` would have to"
    return "not_permitted", message, ()


def _open(pool: Sourced[ModelPool], namespace: str, given: Given) -> bool:
    home = pool.resource.metadata.namespace
    return home == namespace or tenants.admits(pool.resource.spec.allowed_namespaces, namespace, given.tenants)


def _predictor(sourced: Sourced[RoutingPolicy], given: Given, made: Made) -> Artifact | None:
    named = sourced.resource.spec.predictor
    if named is None or named.sha256 is None:
        return given.predictors.default
    return _fetched(sourced, ("spec", "predictor"), _digest(named.sha256), given, made)


def _fetched(sourced: Sourced[RoutingPolicy], path: Path, digest: str, given: Given, made: Made) -> Artifact | None:
    found = given.predictors.named(digest)
    if found is None:
        why = given.predictors.missing.get(digest, "it has not been fetched")
        message = f"the predictor `{digest}` is missing: {why}"
        made.problems.append(problems.problem(sourced.document, path, "missing_predictor", message))
    return found


def _fits(sourced: Sourced[RoutingPolicy], candidates: Candidates, given: Given, made: Made) -> bool:
    """Whether the policy's second tier is there and can say something of a candidate; or there is none."""
    predictor = sourced.resource.spec.predictor
    named = predictor.second_tier if predictor is not None else None
    if named is None:
        return True
    path: Path = ("spec", "predictor", "secondTier")
    found = _fetched(sourced, path, _digest(named.sha256), given, made)
    if found is None:
        return False
    if found.own and not _known(found, candidates):
        known = tuple(sorted(found.profiles))
        message = (
            f"the second tier, `{found.digest}`, has no column for a model of this policy; it has {listed(known[:MOST_LISTED])}"
        )
        made.problems.append(problems.problem(sourced.document, path, "unknown_name", message, known))
        return False
    return True


def _known(graph: Artifact, candidates: Candidates) -> dict[str, int]:
    """Columns of the candidates that a graph of a user's own knows."""
    names = {id: graph.profile_name((model.quality.profile, model.name)) for id, model in candidates}
    columns = {id: graph.profiles[name].column for id, name in names.items() if name is not None}
    return {id: column for id, column in columns.items() if column is not None}


def _second_tier(policy: RoutingPolicy, usable: Candidates, given: Given) -> plan.SecondTier | None:
    """The second tier of a policy that it fits; none where no model that can be called has a column."""
    named = policy.spec.predictor.second_tier if policy.spec.predictor is not None else None
    found = given.predictors.named(_digest(named.sha256)) if named is not None else None
    if named is None or found is None:
        return None
    columns = _known(found, usable)
    if found.own and not columns:
        return None
    return plan.SecondTier(
        predictor=found.digest,
        ambiguity=formats.number(named.ambiguity),
        columns=columns,
        weight=formats.number(named.weight),
        purpose=named.use.lower(),
    )


def _digest(sha256: str) -> str:
    return "sha256:" + sha256.removeprefix("sha256:")


def _profiles(
    sourced: Sourced[RoutingPolicy], candidates: Candidates, predictor: Artifact, made: Made
) -> dict[str, str] | None:
    """Keys of the profiles that a route's predictor reads in place of the models' own; none where it does not know one."""
    found: dict[str, str] = {}
    strange: list[str] = []
    for id, model in candidates:
        if made.keys.get(id) is None or (model.quality.profile is None and not predictor.own):
            continue
        # A graph of a user's own has a column for a model or cannot forecast it: a prior is no column.
        name = predictor.profile_name((model.quality.profile, model.name if predictor.own else None))
        if name is None:
            strange.append(id)
        elif (key := made.profiles.add(predictor.profiles[name])) != made.keys[id]:
            found[id] = key
    if not strange:
        return found
    path: Path = ("spec", "predictor") if sourced.resource.spec.predictor is not None else ("spec",)
    known = tuple(sorted(predictor.profiles))
    message = f"the predictor of this policy, `{predictor.digest}`, knows no profile of {listed(strange[:MOST_LISTED])}"
    if predictor.own:
        message = f"the graph of this policy, `{predictor.digest}`, has no column for {listed(strange[:MOST_LISTED])}"
        message += f"; it has {listed(known[:MOST_LISTED])}"
    made.problems.append(problems.problem(sourced.document, path, "unknown_name", message, known))
    return None


def _unmatched_labels(sourced: Sourced[RoutingPolicy], candidates: Candidates) -> Iterator[Problem]:
    wanted = sourced.resource.spec.constraints.models.match_labels
    if not any(_carries(model, wanted) for _, model in candidates):
        path = ("spec", "constraints", "models", "matchLabels")
        labels = listed([f"{key}: {value}" for key, value in wanted.items()])
        message = f"no model of this policy carries {labels}: every call would be refused"
        yield problems.problem(sourced.document, path, "no_candidate", message)


def _carries(model: Model, labels: dict[str, str]) -> bool:
    return labels.items() <= model.labels.items()


def _usable(sourced: Sourced[RoutingPolicy], candidates: Candidates, given: Given, made: Made) -> Candidates:
    """The candidates that can be called; none where no call could go to one of them."""
    if not any(id in given.unusable for id, _ in candidates):
        return candidates
    usable = [(id, model) for id, model in candidates if id not in given.unusable]
    wanted = sourced.resource.spec.constraints.models.match_labels
    if any(_carries(model, wanted) for _, model in usable):
        return usable
    message = "no model of this policy can be called; its pools say why"
    made.problems.append(
        problems.problem(sourced.document, ("spec", "poolRefs"), "no_usable_model", message, severity="warning")
    )
    return []


def _strategy(strategy: Strategy, lost: set[str]) -> dict[str, object]:
    if strategy.utility is not None:
        willingness = formats.number(strategy.utility.willingness_to_pay_usd)
        return {"type": "utility", "utility": {"willingness_to_pay_usd": willingness}}
    if strategy.pinned is not None:
        # By quality, as it orders the stand-ins of a model that rests.
        pinned = strategy.pinned.model
        return {"type": "best"} if pinned in lost else {"type": "pinned", "pinned": {"model": pinned}}
    if strategy.weighted is not None:
        weights = {weight.model: weight.weight for weight in strategy.weighted.weights if weight.model not in lost}
        if lost and not any(weights.values()):
            return {"type": "best"}
        return {"type": "weighted", "weighted": {"weights": dict(sorted(weights.items()))}}
    return {"type": strategy.type.lower()}


def _lost(sourced: Sourced[RoutingPolicy], candidates: Candidates, given: Given) -> set[str]:
    """Names and ids by which the strategy means a model that cannot be called. A name means the first that has it; one that
    nobody has belongs to a missing pool, where there is one, and is a mistake otherwise.
    """
    first: dict[str, str] = {}
    for id, model in candidates:
        first.setdefault(model.name, id)
    lost = {name for name, id in first.items() if id in given.unusable} | {id for id, _ in candidates if id in given.unusable}
    pools = {tuple(id.split("/", 2)[:2]) for id, _ in candidates}
    if len(pools) == len(sourced.resource.spec.pool_refs):
        return lost
    known = first.keys() | {id for id, _ in candidates}
    return lost | {name for name in _named(sourced.resource.spec.strategy) if name not in known}


def _named(strategy: Strategy) -> list[str]:
    if strategy.pinned is not None:
        return [strategy.pinned.model]
    return [weight.model for weight in strategy.weighted.weights] if strategy.weighted is not None else []


def _constraints(constraints: Constraints) -> plan.Constraints:
    least, cap, deadline = (
        constraints.min_quality,
        constraints.max_request_usd,
        constraints.first_token_within,
    )
    return plan.Constraints(
        min_quality=formats.number(least) if least is not None else None,
        max_request_nanousd=formats.nanousd(cap) if cap is not None else None,
        first_token_ms=formats.milliseconds(deadline) if deadline is not None else None,
        match_labels=constraints.models.match_labels,
        when_unsatisfied={"Reject": "reject", "BestEffort": "best_effort"}[constraints.when_unsatisfied],
    )


def _timeouts(timeouts: Timeouts) -> plan.Timeouts:
    return plan.Timeouts(
        request_ms=formats.milliseconds(timeouts.request),
        first_token_ms=formats.milliseconds(timeouts.first_token),
        stream_idle_ms=formats.milliseconds(timeouts.stream_idle),
    )
