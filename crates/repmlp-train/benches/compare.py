"""Compares `repmlp-sweep bench` with PyTorch, case by case, and prints a Markdown table.

    python3 compare.py --ours target/release/repmlp-sweep --python /tmp/torch/bin/python --rounds 3 [CASE...]

CASE is a case name, or a part of one. `repmlp-sweep bench train nothing` lists the names. Each measurement runs in a
separate process. Within a round, the programs take turns, so a change in machine speed affects all of them. `--record
FILE` appends the measurements to a file, one JSON object per line. The table then includes the measurements of earlier
calls, so use one file per build and machine. With `--rounds 0`, nothing is measured, and the table is printed from the
file.

This script needs only the standard library. The Python given with `--python` needs PyTorch and torchvision.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

# Case -> {rival: maximum ratio of our time to its time}. Rivals are the variants of pytorch.py. `memory` is the maximum
# ratio of our peak memory to that of `tuned`.
GOALS = {
    "pure_mlp_train_step": {"plain": 0.07, "tuned": 0.33, "memory": 0.50},
    "block_c128_forward_backward": {"tuned": 0.50},
    "block_c64_forward_backward": {"tuned": 0.50},
    "wide_convnet_train_step": {},
    "resnet50_train_step": {"tuned": 0.90},
    "repmlp_res50_train_step": {"tuned": 0.90},
    "pure_mlp_infer": {"tuned": 0.60},
    "block_c128_infer": {},
    "block_c64_infer": {},
    "wide_convnet_infer": {},
    "resnet50_infer": {"tuned": 0.95},
    "repmlp_res50_infer": {"tuned": 0.95},
}
# Goal for the share of the processor's peak performance.
PEAK_GOAL = 0.70
WAYS = ("ours", "plain", "tuned")


def commands(arguments, case):
    """Returns the command that measures a case, for each program."""
    suite = "infer" if case.endswith("_infer") else "train"
    options = [f"--threads={arguments.threads}", f"--repeats={arguments.repeats}"]
    rival = str(pathlib.Path(__file__).with_name("pytorch.py"))
    ours = [arguments.ours, "bench", suite, case, "--json", *options]
    return {"ours": ours, **{way: [arguments.python, rival, way, suite, case, *options] for way in ("plain", "tuned")}}


def measured(command):
    """Runs a command and returns the one line of JSON that it prints."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    (line,) = ran.stdout.splitlines()
    return json.loads(line)


def measure(arguments, cases):
    """Yields the measurements of each case in each round, and the peak once per round."""
    for round_ in range(arguments.rounds):
        for case in cases:
            lines = []
            for way, command in commands(arguments, case).items():
                lines.append({**measured(command), "case": case, "way": way})
                print(f"round {round_ + 1}: {case}, {way}", file=sys.stderr)
            yield lines
        peak = [arguments.ours, "bench", "kernels", "peak", "--json", f"--threads={arguments.threads}", "--repeats=9"]
        yield [{**measured(peak), "way": "ours"}]


def spread(values, digits):
    """Returns the median as text. For several values, adds the smallest and the largest."""
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def row(case, by_way, peak):
    """Returns a row of the table. Ratios are taken within a round, since its measurements are close in time."""
    times = {way: [line["median_s"] for line in by_way[way]] for way in WAYS}
    memory = {way: [line["peak_rss_mb"] for line in by_way[way] if line.get("peak_rss_mb")] for way in WAYS}
    cells = [f"`{case}`"] + [f"{statistics.median(times[way]):.4f}" for way in WAYS]
    goals = GOALS[case]

    def ratio(of_ours, of_rival, goal, digits):
        ratios = [ours / rival for ours, rival in zip(of_ours, of_rival)]
        if not ratios:
            return "-"
        if goal is None:
            return spread(ratios, digits)
        met = "met" if statistics.median(ratios) <= goal else "missed"
        return f"{spread(ratios, digits)}; goal {goal:.2f} {met}"

    cells += [ratio(times["ours"], times[way], goals.get(way), 3 if way == "plain" else 2) for way in WAYS[1:]]
    cells += [f"{statistics.median(memory[way]):.0f}" if memory[way] else "-" for way in WAYS]
    cells.append(ratio(memory["ours"], memory["tuned"], goals.get("memory"), 2))
    shares = [line["gflop_per_s"] / peak for line in by_way["ours"]] if peak else []
    met = shares and ("met" if statistics.median(shares) >= PEAK_GOAL else "missed")
    cells.append(f"{spread([100 * share for share in shares], 0)} %; {met}" if shares else "-")
    return cells


def table(lines):
    """Returns the measurements as a Markdown table."""
    peaks = [line["gflop_per_s"] for line in lines if line["case"] == "peak"]
    peak = statistics.median(peaks) if peaks else None
    heading = ["case", "ours s", "plain s", "tuned s", "ours / plain", "ours / tuned", "ours MB", "plain MB", "tuned MB"]
    heading += ["memory, ours / tuned", f"share of FMA peak (goal {100 * PEAK_GOAL:.0f} %)"]
    rows = [heading, ["---"] + ["---:"] * (len(heading) - 1)]
    for case in GOALS:
        by_way = {way: [line for line in lines if line["case"] == case and line["way"] == way] for way in WAYS}
        if all(by_way.values()):
            rows.append(row(case, by_way, peak))
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    notes = [
        f"Threads: {lines[0]['threads'] if lines else 0}. Seconds: median over rounds of the medians within a process.",
        "Ratios: median over rounds (smallest–largest). Memory: peak of the process, including preparation and the",
        "import of PyTorch.",
    ]
    if peak:
        notes.append(f"FMA peak: {peak:.0f} GFLOP/s (twelve independent sums in registers on each thread).")
    return "\n".join([body, "", *notes])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="path of repmlp-sweep, a release build")
    parser.add_argument("--python", help="path of a Python with PyTorch and torchvision")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="timed repetitions in a process")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--record", type=pathlib.Path, help="file that measurements are added to")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    arguments = parser.parse_args()
    cases = [case for case in GOALS if not arguments.cases or any(word in case for word in arguments.cases)]
    if not cases:
        parser.error(f"no case has that name; there are: {', '.join(GOALS)}")
    if arguments.rounds and not (arguments.ours and arguments.python):
        parser.error("to measure, --ours and --python are needed")
    record = arguments.record
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record and record.exists() else []
    lines = [line for line in lines if line["threads"] == arguments.threads]
    for together in measure(arguments, cases):
        lines += together
        if record:
            with record.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in together)
    print(table(lines))


if __name__ == "__main__":
    main()
