"""`make bench`: every benchmark, one after the other, as JSON lines and as the table in bench/README.md.

    .venv/bin/python bench/run.py [NAME ...] [--messages N] [--rounds N] [--no-table]

A benchmark is a script of this directory that prints JSON lines: a round has `bench`, `run` and a rate,
a result has `bench`, `what`, `value`, `unit` and what was asked of it. Results are kept in results.jsonl;
running some benchmarks replaces the lines of those alone. Exit 1 when one failed or missed what was asked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.jsonl"
README = HERE / "README.md"
BEGIN, END = "<!-- table: made by bench/run.py -->", "<!-- end of table -->"
# In the order of the table.
NAMES = ("alerting", "consumers", "forwarding", "warehouse", "producer", "guard", "latency", "memory")

Line = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    there = [name for name in NAMES if (HERE / f"{name}.py").is_file()]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(there)}; by default all")
    parser.add_argument("--messages", type=int, help="instead of each benchmark's own number")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--no-table", action="store_true", help="print only; keep nothing")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(there))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(there)}")
    words = [
        *(["--messages", str(given.messages)] if given.messages else []),
        *(["--rounds", str(given.rounds)] if given.rounds else []),
    ]
    failed = []
    for name in given.names or there:
        lines, code = run(name, words)
        results = [line for line in lines if "what" in line]
        if code or not results:
            failed.append(f"{name}: exit {code}")
        failed += [f"{name}: {line['what']}" for line in results if not line.get("met", True)]
        if results and not given.no_table:
            keep(name, lines)
    if not given.no_table:
        README.write_text(with_table(README.read_text(), kept()))
    for what in failed:
        print(f"missed or failed: {what}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str, words: Sequence[str]) -> tuple[list[Line], int]:
    """Run one benchmark, passing its lines on as they come; the lines and its exit code."""
    lines: list[Line] = []
    command = [sys.executable, str(HERE / f"{name}.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            print(text, end="", flush=True)
            if text.startswith("{"):
                lines.append({"bench": name, **json.loads(text)})
    return lines, process.returncode


def keep(name: str, lines: Iterable[Line]) -> None:
    """Put a benchmark's lines in the place of its earlier ones."""
    about = {"at": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine()}
    new = [{**line, **about} if "what" in line else line for line in lines]
    others = [line for line in kept() if line["bench"] != name]
    everything = sorted(others + new, key=lambda line: NAMES.index(line["bench"]))
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in everything))


def kept() -> list[Line]:
    if not RESULTS.is_file():
        return []
    return [json.loads(text) for text in RESULTS.read_text().splitlines()]


def machine() -> str:
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {python}"


def with_table(text: str, lines: Sequence[Line]) -> str:
    """The README with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(lines)}\n{END}{after}"


def table(lines: Sequence[Line]) -> str:
    """Results, and under them the rounds they come from."""
    rows = ["| benchmark | what | measured | asked | |", "|---|---|---:|---:|---|"]
    rows += [_row(line) for line in lines if "what" in line]
    rows += ["", "| benchmark | run | messages a second, median | lowest to highest |", "|---|---|---:|---:|"]
    rounds: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        if "run" in line:
            rounds.setdefault((line["bench"], line["run"]), []).append(line["per_s"])
    rows += [
        f"| {bench} | {name} | {_rate(_median(found))} | {_rate(min(found))} to {_rate(max(found))} |"
        for (bench, name), found in rounds.items()
    ]
    when = {f"{line['at']}, {line['machine']}" for line in lines if "what" in line}
    rows += ["", f"Measured {'; '.join(sorted(when))}."]
    return "\n".join(rows) + "\n"


def _row(line: Mapping[str, Any]) -> str:
    unit = line.get("unit", "x")
    asked = []
    if "at_least" in line:
        asked.append(f"≥ {_figure(line['at_least'], unit)}")
    if "at_most" in line:
        asked.append(f"≤ {_figure(line['at_most'], unit)}")
    if "goal" in line:
        asked.append(f"goal {_figure(line['goal'], unit)}")
    verdict = _verdict(line) if asked else ""
    note = f"; {line['note']}" if line.get("note") else ""
    measured = _figure(line["value"], unit)
    return f"| {line['bench']} | {line['what']}{note} | {measured} | {', '.join(asked)} | {verdict} |"


def _verdict(line: Mapping[str, Any]) -> str:
    if not line["met"]:
        return "**missed**"
    if line["value"] >= line.get("goal", line["value"]):
        return "met"
    return "met, below the goal" if "at_least" in line else "below the goal"


def _figure(value: float, unit: str) -> str:
    if unit == "x":
        return f"{value:.2f}" if value < 10 else f"{value:.0f}x"
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def _rate(value: float) -> str:
    return f"{value:,.0f}"


def _median(found: Sequence[float]) -> float:
    ordered = sorted(found)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


if __name__ == "__main__":
    sys.exit(main())
