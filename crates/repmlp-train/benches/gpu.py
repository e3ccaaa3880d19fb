"""Everything that one visit to a machine with a GPU should tell, in less than nine minutes.

    python gpu.py PROGRAM OUT [--device cuda:0] [--pytorch] [--quick] [--plan]

It needs a program that was built for GPUs (.ci/build-cuda), the CUDA 13 libraries, and the files of this repository.
It needs no network, no compiler and no Rust. `--pytorch` compares with PyTorch, which this Python must then have.
`--quick` takes one small case and the smoke profile: with `--device cpu` it is a rehearsal on any machine. `--plan`
only says what would be run.

OUT gets at most eight files. The exit code is 1 if a step failed; the others are run nevertheless.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

BENCHES = pathlib.Path(__file__).resolve().parent
REPOSITORY = BENCHES.parents[2]
EXPERIMENT = "experiments/gfc_groups.toml"
# Cases, and the seconds that each may take in one round, ours and PyTorch's together.
CASES = {
    "pure_mlp_train_step": 35, "block_c128_forward_backward": 20, "resnet50_train_step": 55,
    "repmlp_res50_train_step": 55, "pure_mlp_infer": 25, "repmlp_res50_infer": 30,
}
QUICK_CASES = {"block_c128_infer": 60}
# Seconds that nothing may exceed, all steps together.
LIMIT = 540


class Visit:
    """One call of this script: its arguments, its files, and the steps so far."""

    def __init__(self, arguments):
        self.program = str(pathlib.Path(arguments.program).resolve())
        self.device, self.pytorch, self.quick = arguments.device, arguments.pytorch, arguments.quick
        self.out = pathlib.Path(arguments.out).resolve()
        self.scratch = pathlib.Path(tempfile.mkdtemp())
        self.begin = time.monotonic()

    def folders(self):
        return ["--results", str(self.scratch / "results"), "--reports", str(self.scratch / "reports")]

    def sweep(self, profile):
        choice = [] if profile is None else ["--profile", profile]
        return [self.program, EXPERIMENT, *choice, "--slots", "2", "--device", self.device, *self.folders()]

    def call(self, command, seconds, file="log.txt"):
        """Runs a command in the repository. Its standard output goes to a file of OUT, its messages to the log."""
        with (self.out / file).open("ab") as output, (self.out / "log.txt").open("ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            subprocess.run(command, cwd=REPOSITORY, stdout=output, stderr=log, timeout=seconds, check=True)


def doctor(visit, seconds):
    visit.call([visit.program, "doctor", "--device", visit.device], seconds, "doctor.txt")


def parity(visit, seconds):
    cases = "crates/repmlp-interop/tests/parity"
    visit.call([visit.program, "verify", "parity", cases, "--device", visit.device, "--json"], seconds, "parity.json")


def compare(visit, seconds, case):
    """Ours and PyTorch in turns, so that what else the machine does meets both."""
    end = time.monotonic() + seconds
    left = lambda: max(1, end - time.monotonic())
    repeats = ["--repeats", "1" if visit.quick else "5"]
    out = ["--out", str(visit.out)]
    visit.call([visit.program, "bench", "gpu", case, "--device", visit.device, *repeats, *out], left())
    if not visit.pytorch:
        return
    suite, kind = "infer" if case.endswith("infer") else "train", visit.device.split(":")[0]
    script = [sys.executable, str(BENCHES / "pytorch.py")]
    ways = [("tuned", []), ("compiled", [])] + ([("tuned", ["--tf32"])] if kind == "cuda" else [])
    for way, more in ways:
        visit.call([*script, way, suite, case, *repeats, "--device", kind, *more], left(), "pytorch.jsonl")


def kill_and_resume(visit, seconds):
    """Two runs at a time on one device. The scheduler is killed in the middle, and the same call ends the sweep."""
    end = time.monotonic() + seconds
    with (visit.out / "log.txt").open("ab") as log:
        streams = {"stdout": log, "stderr": log, "start_new_session": True}
        scheduler = subprocess.Popen(visit.sweep("smoke"), cwd=REPOSITORY, **streams)
        begun = lambda: any((visit.scratch / "results/runs").glob("*/attempts/*/journal.jsonl"))
        while not begun() and scheduler.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        os.killpg(scheduler.pid, signal.SIGKILL)
        scheduler.wait()
    visit.call(visit.sweep("smoke"), max(1, end - time.monotonic()), "sweep.txt")
    visit.call([visit.program, "status", "--results", str(visit.scratch / "results")], 20, "sweep.txt")


def experiment(visit, seconds):
    """The shipped experiment with two runs at a time, and how busy the GPU is meanwhile."""
    watcher = None
    if shutil.which("nvidia-smi"):
        with (visit.out / "busy.csv").open("wb") as busy:
            query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv", "-l", "1"]
            watcher = subprocess.Popen(query, stdout=busy)
    try:
        visit.call(visit.sweep("smoke" if visit.quick else None), seconds, "sweep.txt")
    finally:
        if watcher:
            watcher.kill()
        with tarfile.open(visit.out / "experiment.tar.gz", "w:gz") as archive:
            for folder in ("reports", "results/published"):
                if (visit.scratch / folder).exists():
                    archive.add(visit.scratch / folder, folder)


def steps(visit):
    """Returns name, seconds and function of each step, in their order."""
    cases = QUICK_CASES if visit.quick else CASES
    of_case = lambda case: lambda visit, seconds: compare(visit, seconds, case)
    return [
        ("doctor", 20, doctor),
        ("parity with PyTorch's values", 60, parity),
        ("kill and resume, two slots", 60, kill_and_resume),
        *((case, seconds, of_case(case)) for case, seconds in cases.items()),
        ("gfc_groups, two slots", 160, experiment),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("out")
    parser.add_argument("--device", default="cuda:0")
    for flag in ("--pytorch", "--quick", "--plan"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    visit = Visit(arguments)
    if arguments.plan:
        for name, seconds, _ in steps(visit):
            print(f"{name:<30} at most {seconds:>3} s")
        return 0
    visit.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, seconds, work in steps(visit):
        left = LIMIT - (time.monotonic() - visit.begin)
        begin = time.monotonic()
        try:
            work(visit, min(seconds, max(1, left)))
            how = "done"
        except (subprocess.SubprocessError, OSError) as fault:
            failed, how = failed + 1, f"FAILED: {fault}"
        line = f"{name:<30} {time.monotonic() - begin:>5.0f} s of {seconds:>3}  {how}"
        print(line, flush=True)
        with (visit.out / "log.txt").open("a") as log:
            log.write(line + "\n")
    shutil.rmtree(visit.scratch, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
