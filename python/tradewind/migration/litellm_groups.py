"""What a group of `model_list` is called beside its name, and which other groups stand in for it."""

from __future__ import annotations

import re
from typing import Any

from tradewind.errors import listed
from tradewind.migration.litellm_reading import Reading
from tradewind.resources import formats
from tradewind.resources.documents import Path

ALIASES = 32


def alias_targets(reading: Reading) -> dict[str, Any]:
    """What each alias of `model_group_alias` stands for, as it is written."""
    given = reading.router("model_group_alias")
    if not isinstance(given, dict):
        return {}
    return {alias: target.get("model") if isinstance(target, dict) else target for alias, target in given.items()}


def aliases(reading: Reading, groups: list[str]) -> dict[str, list[str]]:
    """Further names of each group."""
    found: dict[str, list[str]] = {group: [] for group in groups}
    where = reading.place("model_group_alias")
    whole = reading.router("model_group_alias")
    for alias, model in alias_targets(reading).items():
        path = (*where, alias)
        if not isinstance(model, str) or model not in found:
            reading.name(path, "not_carried", f"`{model}` is no model that was carried over")
        elif alias in found:
            reading.name(path, "not_carried", f"`{alias}` is a `model_name` too, which keeps its calls")
        elif not re.fullmatch(formats.NAME.pattern.removesuffix("$"), alias) or len(found[model]) >= ALIASES - 1:
            said = f"expected {formats.NAME.about}, and {ALIASES} of them at most"
            reading.name(path, "not_carried", said)
        else:
            reading.carried.add((*path, "model") if isinstance(whole[alias], dict) else path)
            found[model].append(alias)
    return found


def stand_ins(reading: Reading, groups: list[str]) -> dict[str, list[str]]:
    """Other groups that stand in for one; those for long prompts too, since what a model cannot hold is not sent to it."""
    found: dict[str, list[str]] = {group: [] for group in groups}
    for key in ("fallbacks", "context_window_fallbacks"):
        given, where = reading.router(key), reading.place(key)
        for index, row in enumerate(given if isinstance(given, list) else []):
            for group, others in row.items() if isinstance(row, dict) else ():
                path = (*where, index, group)
                added = _add(reading, found, group, others, path)
                if added and key != "fallbacks":
                    said = f"{listed(added)} stand in for `{group}` after every failure, not only for long prompts"
                    reading.name(path, "assumed", said)
    given, where = reading.router("default_fallbacks"), reading.place("default_fallbacks")
    if isinstance(given, list):
        for group in [group for group in groups if not found[group]]:
            _add(reading, found, group, given, where)
    return found


def _add(reading: Reading, found: dict[str, list[str]], group: str, others: Any, path: Path) -> list[str]:
    """Stand-ins of one group beside those that were found; gives those that are new."""
    targets = alias_targets(reading)
    group = targets.get(group, group) if group not in found else group
    if group not in found:
        reading.name(path, "not_carried", f"`{group}` is no model that was carried over")
        return []
    added = []
    for index, other in enumerate(others if isinstance(others, list) else []):
        known = other if isinstance(other, str) and other in found else targets.get(other) if isinstance(other, str) else None
        if known not in found:
            what = f"`{other}`" if isinstance(other, str) else "this"
            reading.name((*path, index), "not_carried", f"{what} is no model that was carried over")
            continue
        reading.carried.add((*path, index))
        if known != group and known not in found[group]:
            found[group].append(known)
            added.append(known)
    if len(found[group]) > 1:
        said = f"stand-ins of `{group}` are tried by forecast quality, not in the order that is written"
        reading.name(path, "assumed", said)
    return added
