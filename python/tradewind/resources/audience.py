"""Audience: which namespaces may use what belongs to another; pools and policies ask alike."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tradewind.resources.shape import LabelSelector, Shape


class Audience(Shape):
    """Namespaces, besides the object's own."""

    from_: Literal["Same", "All", "Selector"] = Field(
        default="Same",
        alias="from",
        description="`Same`: none but its own; `All`: every one; `Selector`: those whose labels `selector` names.",
    )
    selector: LabelSelector | None = Field(
        default=None, description="Labels of the namespaces that are admitted; stands with `from: Selector`, and only there."
    )
