"""How a policy chooses among the deployments of its group: LiteLLM's `routing_strategy`, `weight` and `order`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tradewind.migration.litellm_models import Deployment
from tradewind.migration.litellm_reading import Reading
from tradewind.migration.litellm_tables import STRATEGIES


def cheapest_first(reading: Reading) -> bool:
    """Whether `routing_strategy` asks for the cheapest; any other that is known draws by weight."""
    given, where = reading.router("routing_strategy"), reading.place("routing_strategy")
    if given is None:
        return False
    if not isinstance(given, str) or given not in STRATEGIES:
        said = f"strategy `{given}` is not known; calls are drawn by weight" if isinstance(given, str) else "expected a text"
        reading.name(where, "not_carried", said, tuple(STRATEGIES))
    elif STRATEGIES[given]:
        reading.name(where, "not_carried", f"`{given}`: {STRATEGIES[given]}")
    else:
        reading.carried.add(where)
    return bool(given == "cost-based-routing")


def strategy(reading: Reading, own: list[Deployment], others: list[Deployment], *, cheapest: bool) -> dict[str, Any]:
    """Of a group's own deployments; its stand-ins follow."""
    if len(own) == 1:
        return _pinned(own[0])
    if cheapest and not others:
        return {"type": "Cheapest"}
    if cheapest:  # Among all candidates a stand-in could be the cheapest.
        return _pinned(min(own, key=_charge))
    shares = _draw(reading, own)
    if not any(shares):
        return _pinned(own[0])
    weights = [{"model": made.name, "weight": share} for made, share in zip(own, shares, strict=True)]
    return {"type": "Weighted", "weighted": {"weights": weights}}


def _draw(reading: Reading, own: list[Deployment]) -> list[int]:
    """Weights, as LiteLLM's shuffle has them: by the first of `weight`, `rpm`, `tpm` that the first deployment has."""
    orders = sorted({made.order for made in own if made.order is not None})
    if len(orders) > 2 or (len(orders) == 2 and any(made.order is None for made in own)):
        said = "the first `order` takes the calls; the others stand in by forecast quality, not in their order"
        reading.name(own[0].path, "assumed", said)
    first = [made for made in own if not orders or made.order == orders[0]]
    by = next((key for key in ("weight", "rpm", "tpm") if key in first[0].shares), None)
    shares = {made.name: made.shares.get(by, Decimal(0)) if by else Decimal(1) for made in first}
    largest = max(shares.values())
    # Thousandths, as far as the largest weight allows.
    scale = min(Decimal(1000), 1_000_000 / largest) if largest else Decimal(1)
    return [_scaled(shares.get(made.name, Decimal(0)), scale) for made in own]


def _pinned(made: Deployment) -> dict[str, Any]:
    return {"type": "Pinned", "pinned": {"model": made.name}}


def _charge(made: Deployment) -> Decimal:
    price = made.model["price"]
    return Decimal(price["inputPerMillion"]) + Decimal(price["outputPerMillion"])


def _scaled(share: Decimal, scale: Decimal) -> int:
    """What is drawn at all stays so."""
    return max(1, round(share * scale)) if share else 0
