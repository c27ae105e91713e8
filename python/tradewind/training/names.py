"""One name per model across data sets, price tables and plans."""

from __future__ import annotations

# The same weights under two release names (checked against the vendors' model cards).
SAME = {
    "c4ai-command-r-v01": "command-r",
    "gpt-4-1106": "gpt-4-1106-preview",
    "mistral-large-2": "mistral-large-2407",
}

# What people write in a pool, and the profile that it means.
ALIASES = {
    "mixtral-8x7b": "mixtral-8x7b-instruct-v0.1",
    "llama-3.1-8b-instruct": "meta-llama-3.1-8b-instruct",
    "llama-3.1-70b-instruct": "meta-llama-3.1-70b-instruct",
    "llama-3-8b-instruct": "meta-llama-3-8b-instruct",
    "llama-3-70b-instruct": "meta-llama-3-70b-instruct",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4-turbo": "gpt-4-1106-preview",
    "claude-3-haiku": "claude-3-haiku-20240307",
    "claude-3-opus": "claude-3-opus-20240229",
    "claude-3-5-haiku": "claude-3-5-haiku-20241022",
    "claude-3-5-sonnet": "claude-3-5-sonnet-20241022",
    "gemini-1.5-pro-002": "gemini-1.5-pro-002",
    "gemini-2.0-flash": "gemini-2.0-flash-001",
}


def canonical(name: str) -> str:
    """Lower case, no organisation, `_` between digits read as `.`: `Meta-Llama-3_1-8B` → `meta-
    llama-3.1-8b`."""
    short = name.rsplit("/", 1)[-1].lower()
    short = "".join(
        "." if mark == "_" and short[i - 1 : i].isdigit() and short[i + 1 : i + 2].isdigit() else mark
        for i, mark in enumerate(short)
    )
    return SAME.get(short, short)
