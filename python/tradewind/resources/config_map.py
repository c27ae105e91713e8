"""ConfigMap: profiles of models, for files; in a cluster it is Kubernetes' own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tradewind.resources import formats
from tradewind.resources.shape import Metadata, Shape

LARGEST = 1 << 20
"""Characters of a value; Kubernetes takes as many bytes in all."""


class ConfigMap(Shape):
    """Texts by key."""

    api_version: Literal["v1"] = Field(description="`v1`.")
    kind: Literal["ConfigMap"] = Field(description="`ConfigMap`.")
    metadata: Metadata = Field(description="Name and namespace.")
    data: dict[formats.DataKey, Annotated[str, Field(max_length=LARGEST)]] = Field(
        default_factory=dict,
        max_length=4096,
        description="Texts by key: a profile is the JSON that `tradewind profile` writes.",
    )
