"""From resources to a plan source: the first of the two steps, the second being the core's `compile`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass

from tradewind import core
from tradewind.artifacts import plan
from tradewind.artifacts.predictor import Artifact
from tradewind.errors import Problem, listed, unknown
from tradewind.resources import formats, problems
from tradewind.resources.documents import Path
from tradewind.resources.folder import Resources, Sourced
from tradewind.resources.model_pool import Model, ModelPool, Upstream
from tradewind.resources.origins import Origins
from tradewind.resources.routing_policy import Constraints, RoutingPolicy, Strategy, Timeouts

MOST_LISTED = 12
"""Names that a message lists; `accepted` has them all."""


@dataclass(frozen=True)
class Assembled:
    """A plan source and all problems: of the resources, and of the plan that they make."""

    plan: plan.PlanSource
    problems: tuple[Problem, ...]

    @property
    def refused(self) -> bool:
        """Whether a problem refuses the plan."""
        return any(problem.severity == "error" for problem in self.problems)


def assemble(resources: Resources, predictor: Artifact) -> Assembled:
    """Assembles a plan source, and compiles it to learn the remaining problems.

    What refers to something that is wrong is left out, so that one mistake is named once.
    """
    origins = Origins()
    wrong = list(resources.problems)
    profiles: dict[str, plan.Profile] = {}
    models = [model for pool in _in_order(resources) for model in _models(pool, predictor, origins, profiles, wrong)]
    routes = [_route(sourced, resources, predictor, origins, wrong) for sourced in by_priority(resources)]
    source = plan.PlanSource(profiles, tuple(models), tuple(route for route in routes if route is not None))
    if not resources.policies and not wrong:
        wrong.append(Problem("no_policy", "there is no RoutingPolicy: no call would be routed"))
    found = core.check_plan(source.to_json(), [predictor.graph])
    wrong += [origins.locate(problem) for problem in found]
    return Assembled(source, tuple(wrong))


def by_priority(resources: Resources) -> list[Sourced[RoutingPolicy]]:
    """Policies as conflicts are settled: larger priority first, then by name. Namespaces do not conflict."""
    return sorted(
        resources.policies.values(),
        key=lambda sourced: (
            sourced.resource.metadata.namespace,
            -sourced.resource.spec.priority,
            sourced.resource.metadata.name,
        ),
    )


def _in_order(resources: Resources) -> list[Sourced[ModelPool]]:
    return [resources.pools[name] for name in sorted(resources.pools)]


def _models(
    sourced: Sourced[ModelPool],
    predictor: Artifact,
    origins: Origins,
    profiles: dict[str, plan.Profile],
    wrong: list[Problem],
) -> Iterator[plan.Model]:
    for index, model in enumerate(sourced.resource.spec.models):
        path: Path = ("spec", "models", index)
        profile = _profile(model, predictor)
        if profile is None:
            wrong.append(_unknown_profile(sourced, (*path, "quality", "profile"), model.quality.profile or "", predictor))
        origins.add_model(sourced.document, path)
        # The plan is refused already; an average profile lets the core find what else is wrong.
        profile = profile or plan.Profile(bias=0.0)
        key = plan.profile_key(profile)
        profiles[key] = profile
        yield _model(sourced.resource, model, key)


def _model(pool: ModelPool, model: Model, profile: str) -> plan.Model:
    namespace, price, limits = pool.metadata.namespace, model.price, model.limits
    cached = price.cached_input_per_million
    first_token = model.latency.first_token
    return plan.Model(
        id=f"{namespace}/{pool.metadata.name}/{model.name}",
        upstream=_upstream(namespace, model.name, model.upstream),
        price=plan.Price(
            formats.nanousd(price.input_per_million),
            formats.nanousd(price.output_per_million),
            formats.nanousd(cached) if cached is not None else None,
        ),
        limits=plan.Limits(limits.context_tokens, limits.output_tokens, limits.concurrent_requests_per_gateway),
        profile=profile,
        capabilities=tuple(sorted({capability.lower() for capability in model.capabilities})),
        labels=model.labels,
        latency=plan.Latency(formats.milliseconds(first_token) if first_token is not None else None),
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


def _profile(model: Model, predictor: Artifact) -> plan.Profile | None:
    if model.quality.prior is not None:
        prior = formats.number(model.quality.prior)
        return plan.Profile(bias=math.log(prior / (1 - prior)))
    return predictor.profiles.get(model.quality.profile or "")


def _unknown_profile(sourced: Sourced[ModelPool], path: Path, name: str, predictor: Artifact) -> Problem:
    known = sorted(predictor.profiles)
    close = difflib.get_close_matches(name, known, n=MOST_LISTED, cutoff=0.4)
    shown = close or known[:MOST_LISTED]
    rest = len(known) - len(shown)
    message = unknown("profile", name, shown) + (
        f" and {rest} more; or give a `prior` instead" if rest else "; or give a `prior` instead"
    )
    return problems.problem(sourced.document, path, "unknown_name", message, tuple(known))


def _route(
    sourced: Sourced[RoutingPolicy],
    resources: Resources,
    predictor: Artifact,
    origins: Origins,
    wrong: list[Problem],
) -> plan.Route | None:
    policy, document = sourced.resource, sourced.document
    candidates: list[str] = []
    complete = True
    for index, ref in enumerate(policy.spec.pool_refs):
        key = (ref.namespace or policy.metadata.namespace, ref.name)
        pool = resources.pools.get(key)
        if pool is not None:
            candidates += [f"{key[0]}/{key[1]}/{model.name}" for model in pool.resource.spec.models]
            continue
        complete = False
        if ("ModelPool", *key) not in resources.broken:
            known = tuple(sorted("/".join(name) for name in resources.pools))
            message = unknown("pool", "/".join(key), known[:MOST_LISTED])
            wrong.append(problems.problem(document, ("spec", "poolRefs", index), "missing_pool", message, known))
    if not complete:
        return None
    wrong += _unmatched_labels(sourced, resources)
    origins.add_route(document)
    return plan.Route(
        id=f"{policy.metadata.namespace}/{policy.metadata.name}",
        aliases=tuple(policy.spec.match.models),
        predictor=predictor.digest,
        candidates=tuple(candidates),
        strategy=_strategy(policy.spec.strategy),
        constraints=_constraints(policy.spec.constraints),
        timeouts=_timeouts(policy.spec.timeouts),
        retry_attempts=policy.spec.retry.attempts,
    )


def _unmatched_labels(sourced: Sourced[RoutingPolicy], resources: Resources) -> Iterator[Problem]:
    policy = sourced.resource
    wanted = policy.spec.constraints.models.match_labels
    pools = [resources.pools[ref.namespace or policy.metadata.namespace, ref.name] for ref in policy.spec.pool_refs]
    models = [model for pool in pools for model in pool.resource.spec.models]
    if wanted and not any(wanted.items() <= model.labels.items() for model in models):
        path = ("spec", "constraints", "models", "matchLabels")
        labels = listed([f"{key}: {value}" for key, value in wanted.items()])
        message = f"no model of this policy carries {labels}: every call would be refused"
        yield problems.problem(sourced.document, path, "no_candidate", message)


def _strategy(strategy: Strategy) -> dict[str, object]:
    if strategy.utility is not None:
        willingness = formats.number(strategy.utility.willingness_to_pay_usd)
        return {"type": "utility", "utility": {"willingness_to_pay_usd": willingness}}
    if strategy.pinned is not None:
        return {"type": "pinned", "pinned": {"model": strategy.pinned.model}}
    if strategy.weighted is not None:
        weights = {weight.model: weight.weight for weight in strategy.weighted.weights}
        return {"type": "weighted", "weighted": {"weights": dict(sorted(weights.items()))}}
    return {"type": strategy.type.lower()}


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
