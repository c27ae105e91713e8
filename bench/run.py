"""`make bench`: decisions, the gateway and training on this machine, as Markdown tables for bench/README.md.

Everything is measured through the command line: what is printed here, anybody can repeat with the commands in the headings.
Each command runs `REPEATS` times; a cell is the median of these runs and, in brackets, their range.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TRADEWIND = (sys.executable, "-m", "tradewind.cli")
REPEATS = 3
SIZES = ("20", "100", "500", "2000")
DATA = Path("../shared/data")


def main() -> None:
    """Every row of the README."""
    for executor in ("native", "onnxruntime"):
        decisions(executor)
    for door in ("native", "asgi"):
        gateway(door, stream=False)
        gateway(door, stream=True)
    training()


def decisions(executor: str) -> None:
    """Body bytes → decision, by prompt tokens."""
    runs = repeated("bench", "decide", "--executor", executor)
    rows = []
    for where in ("rust", "python", "text"):
        for size in SIZES:
            found = [run[where][size] for run in runs]
            timed = [cell([one[name] for one in found], ".1f") for name in ("p50_us", "p90_us", "p99_us")]
            rows.append((where, size, *timed, cell([one["per_s_core"] for one in found])))
    table(("from", "tokens", "p50 µs", "p90 µs", "p99 µs", "per second and core"), rows)


def gateway(door: str, *, stream: bool) -> None:
    """A door with decision, ledger, metrics and keys on, beside the direct call of the same run."""
    runs = repeated("bench", "gateway", "--door", door, "--seconds", "3", *(["--stream"] if stream else []))
    names = ["rps", "p50_us", "p99_us", "added_p50_us", "cpu_us_per_request", *(["ttft_added_us"] if stream else []), "rss_mib"]
    rows = []
    for level in runs[0]["connections"]:
        found = [run["connections"][level] for run in runs]
        columns = [cell([one[name] for one in found]) for name in names]
        direct = cell([one["direct"]["rps"] for one in found])
        share = cell([one["rps"] / one["direct"]["rps"] for one in found], ".2f")
        rows.append((level, *columns, direct, share, str(sum(one["errors"] for one in found))))
    table(("connections", *names, "direct rps", "rps ÷ direct", "errors"), rows)


def training() -> None:
    """From outcome tables to a gated artifact, where the tables lie."""
    if not DATA.is_dir():
        sys.stdout.write(f"\nNo outcome tables at {DATA}: training is not timed.\n")
        return
    sys.stdout.write(f"\n### `tradewind train --data {DATA} --out OUT --no-score`\n\n")
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as folder:
        found = once("train", "--data", str(DATA), "--out", f"{folder}/predictor", "--no-score", quiet=True)
    sys.stdout.write(f"{found['seconds']:.0f} s, both gates included; passed: {found['passed']}\n")


def repeated(*arguments: str) -> list[dict[str, Any]]:
    """Some runs of one command of ours."""
    return [once(*arguments, quiet=number > 0) for number in range(REPEATS)]


def once(*arguments: str, quiet: bool = False) -> dict[str, Any]:
    """One command of ours, as a heading and as JSON."""
    if not quiet:
        sys.stdout.write(f"\n### `tradewind {' '.join(arguments)}`\n\n")
        sys.stdout.flush()
    done = subprocess.run([*TRADEWIND, *arguments, "--json"], check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def cell(values: list[float], form: str = ".0f") -> str:
    """Median and range of one figure."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    sys.stdout.write("".join(f"| {' | '.join(cells)} |\n" for cells in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
