"""Measure the marked tables of docs/performance.md in one run on the CPU, and fill them.

    python benchmarks/performance.py                    # 15 minutes on two idle cores; writes recorded.json
    python benchmarks/performance.py --only-tables      # fill the tables again from benchmarks/recorded.json

It runs ``mfer benchmark device=cpu`` with the defaults (for a GPU: ``benchmarks/gpu.py``). Close other programs: under
other load, the ratios are roughly correct, but the fractions of the ceiling are not.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "benchmarks" / "recorded.json"
PAGE = ROOT / "docs" / "performance.md"


def tables(result: dict[str, Any]) -> dict[str, str]:
    """Return the page's tables by name, as Markdown."""
    parts, ceiling, machine = result["parts"], result.get("ceiling", {}), result["environment"]
    found = {
        "environment": _rows(
            ("processor", machine["hardware"]["processor"]),
            ("cores, threads used", f"{machine['hardware']['cores']}, {machine['threads']}"),
            ("torch", machine["versions"]["torch"]),
            ("load average before", " ".join(str(v) for v in machine["load_average"] or [])),
            *(
                (f"matrix products, {k.removeprefix('gemm_')}", f"{v} GFLOP/s")
                for k, v in ceiling.items()
                if k != "copy"
            ),
            ("copy, read and written", f"{ceiling.get('copy')} GB/s"),
        )
    }
    if "train" in parts and "inference" in parts:
        heads = ("", "naive, s", "ours, s", "ratio", "of processor time", "share of GEMM ceiling: naive", "ours")
        lines = ["| " + " | ".join([*heads, "in processor time: naive", "ours"]) + " |"]
        lines.append("|---|---|---|---|---|---|---|---|---|")
        for name, title in (("train", "training step"), ("inference", "forward pass")):
            (p,) = parts[name]
            lines.append(
                f"| {title} | {p['seconds']['naive']:.2f} | {p['seconds']['ours']:.2f} | {p['ratio']:.2f} | "
                f"{p['ratio_of_processor_time']:.2f} | {p['share_of_gemm_ceiling']['naive']:.0%} | "
                f"{p['share_of_gemm_ceiling']['ours']:.0%} | {p['share_of_gemm_ceiling_of_a_core']['naive']:.0%} | "
                f"{p['share_of_gemm_ceiling_of_a_core']['ours']:.0%} |"
            )
        differences = parts["inference"][0]["relative_difference_of_logits"]
        lines.append("")
        lines += [f"Largest difference of logits over the largest logit, {k}: {v:.1e}." for k, v in differences.items()]
        found["network"] = "\n".join(lines)
    if "convolutions" in parts:
        lines = ["| map | computation | way | ms | of processor time | GFLOP/s |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {p['map']} | {p['computation']} | {p['way']}{' (taken)' if p['taken'] else ''} | {p['milliseconds']} | "
            f"{p['processor_milliseconds']} | {p['gflops_per_second']} |"
            for p in parts["convolutions"]
        ]
        found["convolutions"] = "\n".join(lines)
    if "end_to_end" in parts:
        p = parts["end_to_end"]
        found["end_to_end"] = _rows(
            ("bare step", f"{p['faces_per_second']['bare_step']} faces/s"),
            ("`mfer train`", f"{p['faces_per_second']['mfer_train']} faces/s"),
            ("share of the bare step", f"{p['share_of_bare_step']:.1%}"),
        )
    if "small" in parts:
        p = parts["small"]
        found["small"] = _rows(
            ("naive loop", f"{p['faces_per_second']['naive']} faces/s"),
            ("ours", f"{p['faces_per_second']['ours']} faces/s"),
            ("ratio (of processor time)", f"{p['ratio']:.2f} ({p['ratio_of_processor_time']:.2f})"),
            ("share of time waiting for data", f"{p['share_of_time_waiting_for_data']:.1%}"),
        )
    if "loader" in parts:
        found["loader"] = _rows(
            *((f"{p['workers']} workers: torchvision, ours, ratio",
               f"{p['faces_per_second']['naive']:,}, {p['faces_per_second']['ours']:,} faces/s, {p['ratio']}")
              for p in parts["loader"])
        )  # fmt: skip
    if "overhead" in parts:
        p = parts["overhead"]
        found["overhead"] = _rows(
            ("bare loop", f"{p['milliseconds']['bare']} ms a step"),
            ("`mfer train`", f"{p['milliseconds']['framework']} ms a step"),
            ("overhead in wall time", f"{p['overhead_percent']} %"),
            ("overhead in processor time", f"{p['overhead_percent_of_processor_time']} %"),
        )
    if "startup" in parts:
        p = parts["startup"]
        found["startup"] = _rows(
            ("`mfer --help`", f"{p['help_seconds']} s"),
            ("`mfer train` to the end of the first backward pass", f"{p['first_step_seconds']} s"),
        )
    if "memory" in parts:
        p = parts["memory"]
        found["memory"] = _rows(
            *((name, f"{p[name]['peak_gb']} GB, of which {p[name]['of_the_steps_gb']} GB added by the steps")
              for name in ("plain", "checkpointing"))
        )  # fmt: skip
    if "ranks" in parts:
        lines = ["| faces per step | 1 rank, all threads | ranks of 1 thread each | ratio |", "|---|---|---|---|"]
        lines += [
            f"| {p['batch']} | {p['faces_per_second']['one_rank']:,} faces/s | {p['ranks']} ranks: "
            f"{p['faces_per_second']['ranks']:,} faces/s | {p['ratio']} |"
            for p in parts["ranks"]
        ]
        found["ranks"] = "\n".join(lines)
    return found


def fill(page: str, found: dict[str, str]) -> str:
    """Put tables between their markers, ``<!-- name -->`` and ``<!-- /name -->``; others are unchanged."""
    for name, table in found.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        page, count = pattern.subn(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", page)
        if count != 1:
            raise ValueError(f"Expected one place for the table '{name}' in docs/performance.md, but got {count}.")
    return page


def _rows(*rows: tuple[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> None:
    """Measure, record the results, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only-tables", action="store_true", help="use the recorded results")
    parser.add_argument("overrides", nargs="*", help="options of mfer benchmark, e.g. parts=[train] repeats=3")
    args = parser.parse_args()
    if not args.only_tables:
        before = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {"parts": {}}
        fresh = RECORDED.with_suffix(".new.json")
        command = [
            sys.executable,
            "-m",
            "mfer_lightning",
            "benchmark",
            "device=cpu",
            f"output={fresh}",
            *args.overrides,
        ]
        subprocess.run(command, check=True)
        result = json.loads(fresh.read_text(encoding="utf-8"))
        result["parts"] = {**before["parts"], **result["parts"]}
        result.setdefault("ceiling", before.get("ceiling", {}))
        RECORDED.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        fresh.unlink()
    found = tables(json.loads(RECORDED.read_text(encoding="utf-8")))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
