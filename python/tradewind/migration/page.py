"""The tables of `docs/migration.md`: what becomes of providers, strategies and keys of LiteLLM, from those of the code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tradewind.migration.litellm_tables import FOREIGN, PROVIDERS, REASONS, STRATEGIES

BEGIN = "### Providers"
"""What is before it is written by hand."""


def renewed(page: str) -> str:
    """The page with its tables as they are now."""
    return page.partition(BEGIN)[0] + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (BEGIN, "", "By the prefix of `litellm_params.model`. From here on `make docs` writes the page.", "")
    yield from ("| prefix | becomes |", "|---|---|")
    for name, provider in PROVIDERS.items():
        url = f"`{provider.url}`" if provider.url else "the `api_base` of the entry"
        added = f", with `{provider.suffix}` where it lacks it" if provider.suffix else ""
        key = f", key `{provider.key}` where there is no `api_key`" if provider.key else ""
        yield f"| `{name}` | {url}{added}{key} |"
    for why, names in _by_reason(FOREIGN):
        yield f"| {names} | left out: it {why} |"
    yield from ("", "### Strategies", "", "| `routing_strategy` | becomes |", "|---|---|")
    for name, difference in STRATEGIES.items():
        yield f"| `{name}` | {difference or 'the same'} |"
    yield from ("", "### Keys without a counterpart", "", "Any other key is named, too.", "", "| key | why |", "|---|---|")
    for why, names in _by_reason(REASONS):
        yield f"| {names} | {why} |"


def _by_reason(table: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each reason with its names, in the order of the table."""
    for why in dict.fromkeys(table.values()):
        yield why, ", ".join(f"`{name}`" for name, given in table.items() if given == why)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(renewed(place.read_text()))
