"""The router as a library: decides in process, without any gateway.

engine = Engine.from_config("config/")
decision = engine.decide({"model": "auto", "messages": [{"role": "user", "content": "Hello"}]})
print(decision.chosen.model, decision.chosen.cost_usd)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tradewind import core
from tradewind.artifacts import decision, predictor
from tradewind.artifacts.decision import Candidate, Decision
from tradewind.artifacts.predictor import Artifact, Predictors
from tradewind.core import Prediction
from tradewind.errors import ConfigurationError, Problem, TradewindError, UsageError
from tradewind.resources import folder
from tradewind.resources.assemble import Assembled, assemble, predictors_wanted
from tradewind.resources.folder import Resources

Body = bytes | Mapping[str, Any]


def default_config() -> Path:
    """The configuration that ships in the wheel."""
    return Path(__file__).parent / "examples" / "default"


@dataclass(frozen=True)
class Loaded:
    """A plan source and the predictors that it names."""

    plan: bytes
    predictors: Predictors


def from_files(place: Path | None, default: Artifact, cache: Path | None = None) -> Assembled:
    """Reads and assembles a file or folder of resources; `None` is the shipped one.

    Predictors that policies name by URL are fetched into `cache`, where they are not there yet.
    """
    resources = folder.read(place or default_config())
    return assemble(resources, fetch_predictors(resources, default, cache))


def fetch_predictors(resources: Resources, default: Artifact, cache: Path | None = None) -> Predictors:
    """The predictors that policies name; of one that cannot be had, the reason."""
    others: dict[str, Artifact] = {}
    missing: dict[str, str] = {}
    for digest, url in predictors_wanted(resources):
        if digest in others or digest == default.digest:
            continue
        try:
            place = cache or predictor.default_cache()
            others[digest] = predictor.fetch(url, digest, place, largest=predictor.LARGEST_ENCODER)
            missing.pop(digest, None)
        except TradewindError as error:
            missing[digest] = error.message
    return Predictors(default, others, missing)


def load(place: Path, default: Artifact, cache: Path | None = None) -> Loaded:
    """The plan source of a file or folder of resources, or of a file that is one (`.json`), and its predictors. Raises
    `ConfigurationError` where it is refused."""
    if place.suffix == ".json":
        given, predictors = read_plan(place), kept_predictors(place, default, cache)
        problems = plan_problems(place, predictors)
        if any(problem.severity == "error" for problem in problems):
            raise ConfigurationError(problems)
        return Loaded(given, predictors)
    assembled = from_files(place, default, cache)
    if assembled.refused:
        raise ConfigurationError(assembled.problems)
    return Loaded(assembled.plan.to_json(), assembled.predictors)


def kept_predictors(file: Path, default: Artifact, cache: Path | None = None) -> Predictors:
    """The predictors that a plan source names, of those that were fetched before: it has digests, not URLs."""
    try:
        routes = json.loads(read_plan(file)).get("routes", ())
        tiers = [*routes, *(route["second_tier"] for route in routes if "second_tier" in route)]
        digests = {tier["predictor"] for tier in tiers} - {default.digest}
    except (AttributeError, KeyError, TypeError, ValueError):
        digests = set()  # The core says what is wrong with it.
    found = {digest: predictor.kept(str(digest), cache or predictor.default_cache()) for digest in digests}
    return Predictors(default, {digest: artifact for digest, artifact in found.items() if artifact is not None})


def plan_problems(file: Path, predictors: Predictors) -> tuple[Problem, ...]:
    """Everything that is wrong with a file that is a plan source."""
    return tuple(
        Problem(
            row["code"],
            row["message"],
            row["path"],
            str(file),
            accepted=tuple(row["accepted"]),
            severity=row["severity"],
        )
        for row in core.check_plan(read_plan(file), predictors.graphs)
    )


@dataclass(frozen=True)
class Flip:
    """Where the choice changes as quality becomes worth more or less."""

    willingness_to_pay_usd: float
    """USD per request for quality from 0 to 1."""
    model: str
    """What is chosen beyond it."""


@dataclass(frozen=True)
class Explanation:
    """A decision with what a person asks of it next."""

    decision: Decision
    runner_up: Candidate | None
    above: Flip | None
    """The nearest flip if quality becomes worth more; none if nothing better is admitted, or nothing is
    traded.
    """
    below: Flip | None
    """The nearest flip if it becomes worth less."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        chosen, second = self.decision.chosen, self.runner_up
        return {
            "decision": dict(self.decision.document),
            "chosen": {"model": chosen.model, "utility": chosen.utility},
            "runner_up": {"model": second.model, "utility": second.utility} if second else None,
            "flips": {
                "above": vars(self.above) if self.above else None,
                "below": vars(self.below) if self.below else None,
            },
        }


class Engine:
    """A compiled plan with its predictors. Immutable; may be shared between threads, which it does not hold
    up.
    """

    def __init__(self, plan: bytes, predictors: Predictors, executor: str = "native") -> None:
        self.predictor = predictors.default
        self._planner = core.Planner(plan, predictors.graphs, executor)

    @classmethod
    def from_config(
        cls,
        place: Path | str | None = None,
        *,
        predictor_at: Path | str | None = None,
        predictor_cache: Path | str | None = None,
        executor: str = "native",
    ) -> Self:
        """From a folder or file of resources, or from a plan source (`.json`); `None` is the shipped
        configuration. Predictors that policies name by URL are fetched into `predictor_cache`.

        Raises `ConfigurationError` with all problems, `UsageError` where nothing can be read.
        """
        where = Path(place) if place is not None else default_config()
        default = predictor.read(Path(predictor_at) if predictor_at is not None else None)
        loaded = load(where, default, Path(predictor_cache) if predictor_cache is not None else None)
        return cls(loaded.plan, loaded.predictors, executor)

    @property
    def plan_id(self) -> str:
        """`sha256:` of the plan source."""
        return self._planner.id

    def decide(
        self,
        body: Body,
        *,
        tenant: str = "default",
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        willingness_to_pay_usd: float | None = None,
        max_cost_usd: float | None = None,
        at_ns: int = 0,
        seed: int = 0,
        id: str = "",
    ) -> Decision:
        """Decides on an OpenAI chat completions body. Raises `ClientError` and its kin, with the field's
        path.

        `tenant` and `labels` are the caller's; `namespace` is whose policies it addresses, by default its own.
        """
        return decision.from_json(
            self._planner.decide(
                _bytes(body),
                tenant=tenant,
                namespace=namespace,
                labels=labels,
                willingness_to_pay_usd=willingness_to_pay_usd,
                max_cost_usd=max_cost_usd,
                at_ns=at_ns,
                seed=seed,
                id=id,
            )
        )

    def decide_lines(self, lines: bytes, *, tenant: str = "default", at_ns: int = 0, seed: int = 0) -> bytes:
        """Decides on JSON Lines of `{"id", "body" | "text", "willingness_to_pay_usd"?, "template_bytes"?}`; a
        decision or an error a line.
        """
        return self._planner.decide_lines(lines, tenant=tenant, at_ns=at_ns, seed=seed)

    def explain(
        self,
        body: Body,
        *,
        tenant: str = "default",
        willingness_to_pay_usd: float | None = None,
        at_ns: int = 0,
        seed: int = 0,
    ) -> Explanation:
        """Decides, and says what would have changed the choice."""
        made = self.decide(body, tenant=tenant, willingness_to_pay_usd=willingness_to_pay_usd, at_ns=at_ns, seed=seed)
        above, below = flips(made)
        return Explanation(made, made.ranking[1] if len(made.ranking) > 1 else None, above, below)

    def tokenize(self, text: str) -> list[int]:
        """WordPiece ids that the predictor sees."""
        return core.tokenize(text)

    def classify(self, text: str) -> Prediction:
        """What the predictor says of a text, before any model is looked at."""
        return self._planner.classify(text)

    def cost(self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Nano-dollars of an answer at a model's prices."""
        return self._planner.cost(model, input_tokens, output_tokens, cached_tokens)


def flips(made: Decision) -> tuple[Flip | None, Flip | None]:
    """The nearest willingness to pay above and below which another admitted candidate has the larger utility.

    Utilities are lines over the willingness to pay; the chosen one is the highest here, so each other line
    crosses it once.
    """
    first = made.chosen
    # Without trade there is no dial; under a relaxed limit the smallest violation comes before any utility.
    if made.objective.willingness_to_pay_usd is None or made.objective.relaxed:
        return None, None
    better = [other for other in made.ranking if other.quality > first.quality]
    worse = [other for other in made.ranking if other.quality < first.quality and other.cost_nanousd < first.cost_nanousd]
    above = min((Flip(_crossing(first, other), other.model) for other in better), key=_place, default=None)
    below = max((Flip(_crossing(first, other), other.model) for other in worse), key=_place, default=None)
    return above, below


def read_plan(file: Path) -> bytes:
    """The bytes of a plan source."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", str(file)) from None


def text_body(text: str, model: str = "auto") -> bytes:
    """The body of a chat call with one user message."""
    return _bytes({"model": model, "messages": [{"role": "user", "content": text}]})


def _bytes(body: Body) -> bytes:
    # As clients send it, for input tokens are estimated from the bytes.
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _crossing(first: Candidate, other: Candidate) -> float:
    return (first.cost_usd - other.cost_usd) / (first.quality - other.quality)


def _place(flip: Flip) -> float:
    return flip.willingness_to_pay_usd
