"""Everything that one visit to a machine with a GPU should tell, in less than nine minutes.

    python3 gpu.py PROGRAM OUT [--device cuda:0] [--pytorch] [--quick] [--plan]

It needs a program that was built for GPUs (.ci/build-cuda), the CUDA 13 libraries, and the files of this repository.
It needs no network, no compiler and no Rust. `--pytorch` compares with PyTorch, which this Python must then have.
`--quick` takes one small case and the smoke profile: with `--device cpu` it is a rehearsal on any machine. `--plan`
only says what would be run.

OUT must not exist, or be empty. It gets at most eight files. The exit code is 1 if a step failed; the others are run
nevertheless, unless the program or the device cannot be used at all.
"""

import argparse
import contextlib
import functools
import json
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
# Cases, and the seconds that each may take, ours and PyTorch's together.
CASES = {
    "pure_mlp_train_step": 45, "block_c128_forward_backward": 25, "resnet50_train_step": 60,
    "repmlp_res50_train_step": 60, "pure_mlp_infer": 25, "repmlp_res50_infer": 30,
}
QUICK_CASES = {"block_c128_infer": 60}
# The exit code for results that disagree.
DISAGREES = 12
# Seconds that nothing may exceed, all steps together.
LIMIT = 540


class Failed(Exception):
    """A step failed."""


class Visit:
    """One call of this script: its arguments, its files and its limits."""

    def __init__(self, arguments, scratch):
        self.program = str(pathlib.Path(arguments.program).resolve())
        self.device, self.pytorch, self.quick = arguments.device, arguments.pytorch, arguments.quick
        self.out = pathlib.Path(arguments.out).resolve()
        self.scratch = scratch
        # Commands whose results disagree with the CPU or with PyTorch. What follows is worth knowing nevertheless.
        self.disagreements = []
        self.end_of_step = self.end = time.monotonic() + LIMIT

    def left(self):
        return max(1, min(self.end, self.end_of_step) - time.monotonic())

    def log(self, line):
        with (self.out / "log.txt").open("a") as log:
            log.write(line + "\n")

    def start(self, command, **streams):
        """Starts a command in the repository, in a session of its own, so that all that it starts can be killed."""
        try:
            return subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, **streams)
        except OSError as fault:
            raise Failed(f"{command[0]} cannot be started: {fault.strerror}") from fault

    def call(self, command, file="log.txt"):
        """Runs a command. Its standard output goes to a file of OUT, its messages to the log. It is killed when the step
        takes too long."""
        self.log(f"\n$ {' '.join(command)}")
        with (self.out / file).open("ab") as output, tempfile.TemporaryFile() as messages:
            process = self.start(command, stdout=output, stderr=messages)
            try:
                code = process.wait(self.left())
            except subprocess.TimeoutExpired as fault:
                raise Failed("it took too long") from fault
            finally:
                kill_group(process)
                messages.seek(0)
                said = messages.read().decode(errors="replace")
                self.log(said.rstrip())
        if code == DISAGREES:
            self.disagreements.append(" ".join(command[1:4]))
        elif code:
            errors = [line for line in said.splitlines() if line.startswith("error")] or said.splitlines()[-1:]
            raise Failed(f"exit code {code}: {errors[0] if errors else 'no message'}"[:200])


def kill_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def doctor(visit):
    """What the machine has, and whether the device can be used."""
    visit.call([visit.program, "doctor", "--device", visit.device], "doctor.txt")


def parity(visit):
    """The reference values of PyTorch, computed on the device."""
    cases = "crates/repmlp-interop/tests/parity"
    visit.call([visit.program, "verify", "parity", cases, "--device", visit.device, "--json"], "parity.json")


def compare(visit, case):
    """Agreement with the CPU, and the case beside PyTorch in turns. Training steps also with bf16."""
    suite, kind = "infer" if case.endswith("infer") else "train", visit.device.split(":")[0]
    repeats = ["--repeats", "1" if visit.quick else "5"]
    ours = [visit.program, "bench", "gpu", case, "--device", visit.device, *repeats, "--out", str(visit.out)]
    theirs = [sys.executable, str(BENCHES / "pytorch.py")]
    more = [*repeats, "--device", visit.device]
    precisions = [[]] + ([["--bf16"]] if suite == "train" and kind == "cuda" else [])
    for precision in precisions:
        visit.call([*ours, *(["--precision", "bf16"] if precision else [])])
        if visit.pytorch:
            for way in ("tuned", "compiled"):
                visit.call([*theirs, way, suite, case, *more, *precision], "pytorch.jsonl")
    if visit.pytorch and kind == "cuda":
        visit.call([*theirs, "tuned", suite, case, *more, "--tf32"], "pytorch.jsonl")


def sweep(visit):
    """The shipped experiment with two runs at a time. The scheduler is killed after the first checkpoint, and the same
    call ends the sweep. Meanwhile it is written down how busy the GPU is."""
    folders = ["--results", str(visit.scratch / "results"), "--reports", str(visit.scratch / "reports")]
    size = ["--profile", "smoke", "--set", "training.epochs=4"] if visit.quick else []
    command = [visit.program, EXPERIMENT, *size, "--slots", "2", "--device", visit.device, *folders]
    with busy(visit):
        kill_after_a_checkpoint(visit, command)
        visit.call(command, "sweep.txt")
    visit.call([visit.program, "status", *folders[:2]], "sweep.txt")
    with tarfile.open(visit.out / "experiment.tar.gz", "w:gz") as archive:
        for folder in ("reports", "results/published"):
            archive.add(visit.scratch / folder, folder)
    if not any(event.get("resumed_at_step", 0) > 0 for event in events(visit)):
        raise Failed("the sweep ended, but no run was resumed from a checkpoint: it was killed too late")


def kill_after_a_checkpoint(visit, command):
    visit.log(f"\n$ {' '.join(command)}    (to be killed)")
    with (visit.out / "log.txt").open("ab") as log:
        process = visit.start(command, stdout=log, stderr=log)
    try:
        while process.poll() is None and visit.left() > 1:
            if any(event["kind"] == "checkpointed" for event in events(visit)):
                break
            time.sleep(0.02)
    finally:
        kill_group(process)


def events(visit):
    """Yields what the attempts of the sweep have reported so far. The last line of a journal may be cut."""
    for journal in (visit.scratch / "results/runs").glob("*/attempts/*/journal.jsonl"):
        for line in journal.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)["event"]


@contextlib.contextmanager
def busy(visit):
    """Writes down how busy the GPU is, once a second."""
    if not shutil.which("nvidia-smi"):
        yield
        return
    query = ["nvidia-smi", "--query-gpu=timestamp,utilization.gpu,memory.used", "--format=csv", "-l", "1"]
    with (visit.out / "busy.csv").open("wb") as file:
        watcher = subprocess.Popen(query, stdout=file, start_new_session=True)
    try:
        yield
    finally:
        kill_group(watcher)


def steps(quick):
    """Returns name, seconds and function of each step, in their order."""
    cases = QUICK_CASES if quick else CASES
    return [
        ("doctor", 20, doctor),
        ("parity with PyTorch's values", 60, parity),
        *((case, seconds, functools.partial(compare, case=case)) for case, seconds in cases.items()),
        ("gfc_groups, killed and resumed", 200, sweep),
    ]


def run(visit):
    """Runs all steps. Returns the number of those that failed."""
    failed = 0
    for name, seconds, work in steps(visit.quick):
        begin = time.monotonic()
        visit.end_of_step = begin + seconds
        try:
            visit.disagreements.clear()
            work(visit)
            if visit.disagreements:
                raise Failed(f"results disagree: {'; '.join(visit.disagreements)}")
            how = "done"
        except (Failed, OSError) as fault:
            failed, how = failed + 1, f"FAILED: {fault}"
        line = f"{name:<32} {time.monotonic() - begin:>4.0f} s of {seconds:>3}  {how}"
        print(line, flush=True)
        visit.log(line)
        if failed and work is doctor:
            break
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("out")
    parser.add_argument("--device", default="cuda:0", help="cpu or cuda:N")
    for flag in ("--pytorch", "--quick", "--plan"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    if arguments.plan:
        for name, seconds, work in steps(arguments.quick):
            about = getattr(work, "func", work).__doc__.split(".")[0]
            print(f"{name:<32} at most {seconds:>3} s  {about}".rstrip())
        print(f"{'together':<32} at most {LIMIT:>3} s")
        return 0
    out = pathlib.Path(arguments.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        parser.error(f"{out} is there already: name an empty or a new folder")
    out.mkdir(parents=True, exist_ok=True)
    # A kill of this script, or of its terminal, must not leave its scratch folder and its processes.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as scratch:
        return 1 if run(Visit(arguments, pathlib.Path(scratch))) else 0


if __name__ == "__main__":
    sys.exit(main())
