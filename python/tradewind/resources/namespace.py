"""Namespace: labels of a tenant, for files; in a cluster it is Kubernetes' own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tradewind.resources.shape import LocalMetadata, Shape


class Namespace(Shape):
    """Labels of a tenant."""

    api_version: Literal["v1"] = Field(description="`v1`.")
    kind: Literal["Namespace"] = Field(description="`Namespace`.")
    metadata: LocalMetadata = Field(description="Name and labels.")
