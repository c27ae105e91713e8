"""Formats of strings in resources, with the exact values they stand for: names, money, fractions,
durations, labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True)
class Format:
    """A pattern and what it asks for, as the end of a sentence that begins with 'expected'."""

    pattern: str
    about: str
    longest: int


NAME = Format(
    r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,252}$",
    "a name of at most 253 letters, digits and `._/:-` that begins with a letter or digit",
    253,
)
OBJECT_NAME = Format(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "a Kubernetes name: lower-case letters, digits, `-` and `.`, at most 253",
    253,
)
NAMESPACE = Format(
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    "a Kubernetes namespace: lower-case letters, digits and `-`, at most 63",
    63,
)
DATA_KEY = Format(r"^[-._A-Za-z0-9]{1,253}$", "a key of a Secret or ConfigMap: letters, digits and `-._`, at most 253", 253)
# White space is another set in each engine of regular expressions, so that patterns list what is printable ASCII.
UPSTREAM_MODEL = Format(r"^[!-~]{1,253}$", "1 to 253 printable ASCII characters without white space", 253)
URL = Format(
    r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!-\x22$->A-~]*)?$",
    "an http or https URL with a host, without credentials, query or fragment",
    2048,
)
URL_PATH = Format(r"^/[!-\x22$->@-~]*$", "a path that begins with `/`, without query or fragment", 1024)
USD = Format(
    r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,9})?$",
    'an amount of USD as a decimal string, such as "0.15": at most 999999.999999999, to the nano-dollar',
    16,
)
FRACTION = Format(r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$", 'a decimal string from "0" to "1", such as "0.70"', 11)
DURATION = Format(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$", "a duration such as `800ms`, `5s` or `1m30s`", 32)
DIGEST = Format(r"^(sha256:)?[0-9a-f]{64}$", "64 hexadecimal digits in lower case, with or without `sha256:` before them", 71)
LABEL_KEY = Format(
    r"^([a-z0-9][-a-z0-9.]{0,251}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    "a Kubernetes label key",
    317,
)
ANNOTATION_KEY = Format(
    r"^([A-Za-z0-9][-A-Za-z0-9.]{0,251}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    "a Kubernetes annotation key",
    317,
)
LABEL_VALUE = Format(
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
    "a Kubernetes label value: at most 63 letters, digits and `-_.`",
    63,
)

ALL = (
    NAME,
    OBJECT_NAME,
    NAMESPACE,
    DATA_KEY,
    UPSTREAM_MODEL,
    URL,
    URL_PATH,
    USD,
    FRACTION,
    DURATION,
    DIGEST,
    LABEL_KEY,
    ANNOTATION_KEY,
    LABEL_VALUE,
)

Name = Annotated[str, Field(pattern=NAME.pattern, max_length=NAME.longest)]
ObjectName = Annotated[str, Field(pattern=OBJECT_NAME.pattern, max_length=OBJECT_NAME.longest)]
NamespaceName = Annotated[str, Field(pattern=NAMESPACE.pattern, max_length=NAMESPACE.longest)]
DataKey = Annotated[str, Field(pattern=DATA_KEY.pattern, max_length=DATA_KEY.longest)]
UpstreamModel = Annotated[str, Field(pattern=UPSTREAM_MODEL.pattern, max_length=UPSTREAM_MODEL.longest)]
Url = Annotated[str, Field(pattern=URL.pattern, max_length=URL.longest)]
UrlPath = Annotated[str, Field(pattern=URL_PATH.pattern, max_length=URL_PATH.longest)]
Usd = Annotated[str, Field(pattern=USD.pattern, max_length=USD.longest)]
Fraction = Annotated[str, Field(pattern=FRACTION.pattern, max_length=FRACTION.longest)]
Duration = Annotated[str, Field(pattern=DURATION.pattern, max_length=DURATION.longest)]
Digest = Annotated[str, Field(pattern=DIGEST.pattern, max_length=DIGEST.longest)]
AnnotationKey = Annotated[str, Field(pattern=ANNOTATION_KEY.pattern, max_length=ANNOTATION_KEY.longest)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY.pattern, max_length=LABEL_KEY.longest)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE.pattern, max_length=LABEL_VALUE.longest)]

_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def nanousd(usd: str) -> int:
    """Nano-dollars of an amount of USD, exactly."""
    return int(Decimal(usd) * 1_000_000_000)


def number(decimal: str) -> float:
    """The nearest double of a decimal string."""
    return float(Decimal(decimal))


def milliseconds(duration: str) -> int:
    """Milliseconds of a GEP-2257 duration."""
    return sum(int(amount) * _MILLISECONDS[unit] for amount, unit in re.findall(r"([0-9]+)(h|ms|m|s)", duration))
