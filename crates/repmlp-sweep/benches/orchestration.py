"""Measures what sweeps cost besides training, beside Hydra and Optuna, and writes a report.

    python3 orchestration.py --ours target/release/repmlp-sweep --python /tmp/peers/bin/python --out reports/orchestration

The Python given with `--python` needs the packages of PACKAGES. In each round the programs take turns, so a change in
machine speed affects all of them. The measurements are written to OUT/orchestration.jsonl, and the report to
OUT/README.md. With `--rounds 0` nothing is measured, and the report is written again from the measurements. Nothing else
should run on the machine.

This script needs only the standard library.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

PACKAGES = ["hydra-core==1.3.2", "hydra-joblib-launcher==1.2.0", "optuna==4.5.0"]

# Way -> name, what a run is, what is left of a run after a kill, what the same command does again.
WAYS = {
    "ours": ("repmlp-sweep", "a process", "all values that were reported: journals are synced", "only what is missing"),
    "ours-command": (
        "repmlp-sweep, a command",
        "two processes: the attempt and the command",
        "all values that were reported: journals are synced",
        "only what is missing",
    ),
    "hydra": (
        "Hydra, basic launcher",
        "a function call",
        "its folder with the configuration; no status, not synced",
        "all runs",
    ),
    "hydra-process": ("the same, with a process in each run", "a function call that starts `true`", "the same", "all runs"),
    "hydra-joblib": (
        "Hydra, joblib launcher",
        "a function call in one of several processes",
        "the same",
        "all runs",
    ),
    "optuna": (
        "Optuna, SQLite",
        "a function call",
        "finished trials, in the database",
        "adds trials",
    ),
    "optuna-process": ("the same, with a process in each run", "a function call that starts `true`", "the same", "adds trials"),
}
# Figure of `bench orchestration` -> way.
RATES = {"runs that train nothing": "ours", "runs of a command that does nothing": "ours-command"}


def ours(arguments, folder, *options):
    """Runs `bench orchestration` and returns its lines."""
    command = [arguments.ours, "bench", "orchestration", "--json", "--out", str(folder), *options]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def peer(arguments, way, folder):
    """Runs a sweep of another tool and returns its line."""
    script = str(pathlib.Path(__file__).with_name("orchestration_peers.py"))
    command = [arguments.python, script, way, str(arguments.peer_runs), str(folder)]
    log = folder.with_suffix(".log")
    with log.open("w") as output:
        clock = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - clock
    if status:
        sys.exit(f"{way} failed:\n{log.read_text()}")
    rate = arguments.peer_runs / seconds
    return {"way": way, "runs": arguments.peer_runs, "runs_per_s": rate, "peak_mb": usage.ru_maxrss * 1024 / 1e6}


def measure(arguments, folder):
    """Yields all measurements. The folder is on the disk of the report, since what is synced depends on the disk."""
    for line in ours(arguments, folder / "figures", f"--runs={arguments.runs}"):
        yield {"kind": "figure", **line}
    for round_ in range(1, arguments.rounds + 1):
        of_round = {"kind": "rate", "round": round_}
        for line in ours(arguments, folder / f"ours-{round_}", f"--runs={arguments.our_runs}", "--repeats=1"):
            if line["figure"] in RATES:
                yield {**of_round, "way": RATES[line["figure"]], "runs": line["runs"], "runs_per_s": line["value"]}
        for way in WAYS:
            if not way.startswith("ours"):
                print(f"round {round_}: {way}", file=sys.stderr)
                yield {**of_round, **peer(arguments, way, folder / f"{way}-{round_}")}


def spread(values, form):
    """Returns the median as text. For several values, adds the smallest and the largest."""
    text = form(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({form(min(values))}–{form(max(values))})"


def number(value):
    """Returns a number with about three digits, and thousands apart."""
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def table(heading, rows, numbers):
    """Returns a Markdown table. The columns of `numbers` are right-aligned."""
    rule = ["---:" if column in numbers else "---" for column in range(len(heading))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heading, rule, *rows])


def figures(lines):
    """Returns the table of the figures with their goals."""
    rows = []
    for line in lines:
        unit = line["unit"]
        value = number(line["value"])
        if line["repeats"] > 1:
            value += f" ({number(line['min'])}–{number(line['max'])})"
        goal = f"{number(line['goal'])} {unit}, {'met' if line['is_met'] else 'missed'}" if "goal" in line else "–"
        rows.append([line["figure"], f"{value} {unit}", goal])
    return table(["figure", "measured", "goal"], rows, {1, 2})


def rates(lines):
    """Returns the table of all tools. Ratios are taken within a round."""
    by_way = {way: {line["round"]: line for line in lines if line["way"] == way} for way in WAYS}
    rows = []
    for way, (name, what, kept, again) in WAYS.items():
        of_way = by_way[way]
        if not of_way:
            continue
        per_s = [line["runs_per_s"] for line in of_way.values()]
        ratios = [by_way["ours"][round_]["runs_per_s"] / line["runs_per_s"] for round_, line in of_way.items()]
        ratio = "1" if way == "ours" else spread(ratios, number)
        rows.append([name, what, spread(per_s, number), ratio, kept, again])
    heading = ["tool", "a run is", "runs/s", "repmlp-sweep ÷ it", "left after a kill", "the same command again"]
    return table(heading, rows, {2, 3})


def report(lines):
    """Returns the report as Markdown."""
    of_figures = [line for line in lines if line["kind"] == "figure"]
    of_rates = [line for line in lines if line["kind"] == "rate"]
    first, about = of_figures[0], next(line for line in lines if line["kind"] == "machine")
    peer_runs = max((line["runs"] for line in of_rates if not line["way"].startswith("ours")), default=0)
    our_runs = max((line["runs"] for line in of_rates if line["way"] == "ours"), default=0)
    rounds = max((line["round"] for line in of_rates), default=0)
    return f"""# What a run costs besides its training

The measurements were made with repmlp-sweep {first["code"]} on {about["cores"]} cores of an
{first.get("processor", "unknown processor")}, on Linux {about["system"]}. `load` of the machine before the first
measurement: {about["load"]:.2f}. This file is written by the script that measures:

```sh
python3 -m venv /tmp/peers && /tmp/peers/bin/pip install {" ".join(PACKAGES)}
cargo build --release
python3 crates/repmlp-sweep/benches/orchestration.py --ours target/release/repmlp-sweep \\
    --python /tmp/peers/bin/python --out reports/orchestration
```

## A sweep of {first["runs"]:,} runs

Its runs train nothing: each reports seven made-up values of one epoch. Everything else is as in a real sweep: a process
for each run, synced journals, the index, the report at the end. Each command is a process of its own, and its time
includes its start. `repmlp-sweep bench orchestration` measures the same on your machine.

{figures(of_figures)}

* *runs that train nothing*: the whole call, from the plan to the rendered report, with one slot for each core.
* *memory of the scheduler*: peak of the process that runs the sweep, without the processes of the runs.
* *second call*: the sweep is done; the call finds nothing to do and shows the tables again.
* *rebuild of the index*: plans and journals of all these runs are read, and the SQLite file is made again.
* *values read from journals*: the same for runs of a hundred epochs.
* *runs of a command*: the trainer is a command, `true`. Such a run has two processes.

## Beside other tools

Each tool sweeps runs that do nothing: {our_runs:,} of ours, {peer_runs:,} of the others, in {rounds} rounds, programs in
turns. The time is that of the whole command, with its start. Ratios are taken within a round.

{rates(of_rates)}

Runs/s: median over rounds (smallest–largest). What is compared is not equal, so read the ratios with the columns beside
them:

* A run of ours is a process, and what it reports is on the disk before the sweep depends on it. A run of Hydra or Optuna
  is a function call. The rows with a process start `true` in each run, the cheapest process there is.
* Our runs report seven values each. The runs of Hydra report nothing, and those of Optuna a single value.
* Optuna uses random search, its cheapest sampler. Hydra writes its usual files: configuration, overrides and log.
* joblib keeps its processes for several runs.
* The start of Python and the imports count, as the start of our program does.

Measurements: [orchestration.jsonl](orchestration.jsonl).
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="path of repmlp-sweep, a release build")
    parser.add_argument("--python", help="path of a Python with Hydra and Optuna")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the report")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=10_000, help="runs of the sweep whose figures have goals")
    parser.add_argument("--our-runs", type=int, default=1_000, help="runs of our sweep in a round")
    parser.add_argument("--peer-runs", type=int, default=300, help="runs of another tool's sweep in a round")
    arguments = parser.parse_args()
    record = arguments.out / "orchestration.jsonl"
    if arguments.rounds:
        if not (arguments.ours and arguments.python):
            parser.error("to measure, --ours and --python are needed")
        arguments.out.mkdir(parents=True, exist_ok=True)
        machine = {
            "kind": "machine",
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.release(),
            "load": os.getloadavg()[0],
            "packages": PACKAGES,
        }
        with tempfile.TemporaryDirectory(dir=arguments.out) as folder, record.open("w") as file:
            file.write(json.dumps(machine) + "\n")
            for line in measure(arguments, pathlib.Path(folder)):
                file.write(json.dumps(line) + "\n")
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    text = report(lines)
    (arguments.out / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
