"""`make bench`: decisions and the gateway on this machine, as Markdown tables for bench/README.md.

Everything is measured through the command line: what is printed here, anybody can repeat with the commands in the headings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

TRADEWIND = (sys.executable, "-m", "tradewind.cli")
SIZES = ("20", "100", "500", "2000")


def main() -> None:
    """Every row of the README."""
    for executor in ("native", "onnxruntime"):
        decisions(executor)
    for door in ("native", "asgi"):
        gateway(door, stream=False)
        gateway(door, stream=True)


def decisions(executor: str) -> None:
    """Body bytes → decision, by prompt tokens."""
    found = run("bench", "decide", "--executor", executor)
    rows = [
        (
            where,
            size,
            *(f"{found[where][size][name]:.1f}" for name in ("p50_us", "p90_us", "p99_us")),
            f"{found[where][size]['per_s_core']:.0f}",
        )
        for where in ("rust", "python", "text")
        for size in SIZES
    ]
    table(("from", "tokens", "p50 µs", "p90 µs", "p99 µs", "per second and core"), rows)


def gateway(door: str, *, stream: bool) -> None:
    """A door with decision, ledger, metrics and keys on, beside the direct call of the same run."""
    found = run("bench", "gateway", "--door", door, *(["--stream"] if stream else []))
    names = ("rps", "p50_us", "p99_us", "added_p50_us", "cpu_us_per_request", "ttft_added_us", "rss_mib", "errors")
    rows = [
        (level, *("" if row[name] is None else f"{row[name]:.0f}" for name in names), f"{row['direct']['rps']:.0f}")
        for level, row in found["connections"].items()
    ]
    table(("connections", *names, "direct rps"), rows)


def run(*arguments: str) -> dict[str, Any]:
    """One command of ours, as a heading and as JSON."""
    sys.stdout.write(f"\n### `tradewind {' '.join(arguments)}`\n\n")
    sys.stdout.flush()
    done = subprocess.run([*TRADEWIND, *arguments, "--json"], check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    sys.stdout.write("".join(f"| {' | '.join(cells)} |\n" for cells in lines))


if __name__ == "__main__":
    main()
