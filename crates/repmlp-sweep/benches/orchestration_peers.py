"""Runs a sweep of runs that do nothing with another tool, for `orchestration.py`.

    python3 orchestration_peers.py WAY RUNS FOLDER

The tool writes into FOLDER. A run is a call of a function. With a way that ends in `-process`, the function starts a
process that ends at once. Each tool records what it records by itself; the function writes nothing.
"""

import pathlib
import subprocess
import sys

# The cheapest process there is.
PROCESS = ["true"]


def nothing(way):
    """Does the work of one run."""
    if way.endswith("-process"):
        subprocess.run(PROCESS, check=True)


def hydra(way, runs, folder):
    """One multirun of Hydra. Each run has a folder with its configuration and a log."""
    import hydra as library
    from omegaconf import DictConfig

    # Workers of joblib import this file again, so the function is found by its name.
    @library.main(version_base="1.3", config_path=None)
    def run(config: DictConfig):
        nothing(way)
        return 0.0

    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=-1"] if "joblib" in way else []
    # Each run prints a line, as each run of ours does.
    sys.argv = [__file__, "--multirun", f"+seed=range(0,{runs})", f"hydra.sweep.dir={folder}", *launcher]
    run()


def optuna(way, runs, folder):
    """One study of Optuna in an SQLite file. Random search is its cheapest sampler."""
    import optuna as library

    def objective(trial):
        trial.suggest_int("seed", 0, runs)
        nothing(way)
        return 0.0

    storage = f"sqlite:///{folder / 'study.sqlite'}"
    sampler = library.samplers.RandomSampler(seed=0)
    study = library.create_study(storage=storage, study_name="orchestration", sampler=sampler)
    study.optimize(objective, n_trials=runs)
    assert len(study.trials) == runs


def main():
    way, runs, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    folder.mkdir(parents=True)
    {"hydra": hydra, "optuna": optuna}[way.split("-")[0]](way, runs, folder)
    if way.startswith("hydra"):
        done = sum(1 for path in folder.iterdir() if (path / ".hydra").is_dir())
        assert done == runs, f"{done} of {runs} runs"


if __name__ == "__main__":
    main()
