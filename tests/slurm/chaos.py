#!/usr/bin/env python3
"""Chaos: requests on a cluster where everything is killed at random, then resumed until they are done.

    python tests/slurm/chaos.py --rounds 100 --seed 0

Each round has its own seed and can be run alone (--rounds 1 --seed N). It ends with a check:
results byte by byte as they should be, no unfinished file, no result taken twice, nothing submitted twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from cluster import NODES, Cluster
from shouting import result, write_book

FILES = 8
_ROUND_SECONDS = 600


class Round:
    """One request, its misfortunes and its check."""

    def __init__(self, cluster: Cluster, folder: Path, seed: int, slow: bool):
        self.cluster, self.folder, self.slow = cluster, folder, slow
        self.random = random.Random(seed)
        self.texts = {f"s{i}": f"text {seed} number {i}" for i in range(FILES)}
        self.told: list[str] = []
        self.book = write_book(folder / "books")
        (folder / "raw").mkdir()
        for name, text in self.texts.items():
            (folder / "raw" / f"{name}.txt").write_text(text)

    def run(self) -> str:
        """All of it; a line on what happened. Raises AssertionError."""
        self.submit()
        misfortunes = [self.random.choice(self.misfortunes()) for _ in range(self.random.randint(2, 4))]
        for misfortune in misfortunes:
            time.sleep(self.random.uniform(0.2, 4))
            self.told.append(misfortune.__name__)
            misfortune()
        self.cluster.all_up()
        resumes = self.resume_until_done()
        attempts = self.check()
        return f"{', '.join(self.told)}: {resumes} resumes, {attempts} attempts for {FILES} tasks"

    def submit(self) -> None:
        """Give the command, kill it now and then, and give it again until it went through."""
        while True:
            command = ["run", str(self.book), "--slurm", "--no-report", "--delay", "0.4"]
            command += ["--in-folder", str(self.folder / "raw"), "--out-folder", str(self.folder / "proc")]
            process = self.calibook(*command)
            if self.random.random() < 0.4:
                self.told.append("submission killed")
                time.sleep(self.random.uniform(0.3, 2.5))
                process.kill()
            if process.wait(120) == 0:
                return

    @property
    def work(self) -> Path:
        return next((self.folder / "proc" / "calibook").iterdir())

    def calibook(self, *words: str) -> subprocess.Popen[bytes]:
        """A command of calibook, under way."""
        command = [sys.executable, "-P", "-m", "calibook", *words]
        log = open(self.folder / "commands.log", "ab")  # noqa: SIM115 - the process has it
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)

    def misfortunes(self):
        """What may happen."""
        quick = [
            self.kill_task,
            self.kill_kernel,
            self.kill_slurmd,
            self.node_down,
            self.cancel_one,
            self.restart_controller,
            self.kill_controller,
            self.kill_resume,
        ]
        return quick + [self.kill_stepd] * self.slow

    def kill_task(self) -> None:
        self._kill_one("calibook")

    def kill_kernel(self) -> None:
        self._kill_one("kernel_process")

    def _kill_one(self, word: str) -> None:
        found = [p for p in self.cluster.tasks() if any(word in part for part in _words(p))]
        if found:
            _kill(self.random.choice(found))

    def kill_stepd(self) -> None:
        found = self.cluster.stepds()
        if found:
            _kill(self.random.choice(found))

    def kill_slurmd(self) -> None:
        node = self.random.choice(NODES)
        self.cluster.kill("slurmd", node)
        time.sleep(self.random.uniform(0, 2))
        self.cluster.ask("slurmd", "-N", node)

    def node_down(self) -> None:
        node = self.random.choice(NODES)
        self.cluster.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=chaos", check=False)

    def cancel_one(self) -> None:
        jobs = [job for job, _, name in self.cluster.jobs() if "-tasks" in name]
        if jobs:
            self.cluster.ask("scancel", self.random.choice(jobs), check=False)

    def restart_controller(self) -> None:
        self.cluster.kill("slurmctld", number=15)
        self.cluster.ask("slurmctld")

    def kill_controller(self) -> None:
        self.cluster.kill("slurmctld")
        self.cluster.ask("slurmctld")

    def kill_resume(self) -> None:
        process = self.calibook("resume", "--no-report", str(self.work))
        time.sleep(self.random.uniform(0.3, 2.5))
        process.kill()
        process.wait()

    def resume_until_done(self) -> int:
        """What a patient user does; how often."""
        end, resumes = time.monotonic() + _ROUND_SECONDS, 0
        while time.monotonic() < end:
            self.cluster.all_up()
            said = self._status()
            if said is not None and not self._queued() and not _lives(said):
                if said["counts"] == {"done": FILES} and said["scheduler"]["finish"].startswith("made"):
                    return resumes
                resumes += 1
                self.calibook("resume", "--no-report", str(self.work)).wait(120)
            time.sleep(1)
        raise AssertionError(f"not done in {_ROUND_SECONDS} s: {said}")

    def _status(self) -> dict | None:
        command = [sys.executable, "-P", "-m", "calibook", "status", "--json", str(self.work)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.stdout else None

    def _queued(self) -> bool:
        held = {job for job, reason in self.cluster.reasons().items() if "held" in reason}
        return any(self.work.name[-8:] in name and job not in held for job, _, name in self.cluster.jobs())

    def check(self) -> int:
        """Everything is as it should be; the number of attempts."""
        proc = self.folder / "proc"
        found = {path.stem: path.read_text() for path in proc.glob("*.h5")}
        assert found == {name: result(text) for name, text in self.texts.items()}, "the results differ"
        assert {p.name for p in proc.iterdir()} == {"calibook"} | {
            f"{name}{end}" for name in self.texts for end in (".h5", ".record.json")
        }, f"left over: {sorted(p.name for p in proc.iterdir())}"
        assert not list(self.work.rglob("*.part")), "unfinished files"
        attempts = 0
        for name in self.texts:
            states = [
                json.loads(p.read_text()) for p in self.work.glob(f"tasks/{name}/attempts/*/state.json")
            ]
            attempts += len(states)
            done = [state for state in states if state["state"] == "done"]
            assert len(done) <= 1, f"{name}: the result was taken twice"
            record = json.loads((proc / f"{name}.record.json").read_text())
            assert not done or record["attempts"] == done[0]["number"], f"{name}: the wrong attempt counts"
        self._check_submitted_once()
        return attempts

    def _check_submitted_once(self) -> None:
        ours = [(job, name) for job, name in self.cluster.submitted() if self.work.name[-8:] in name]
        for name, number in Counter(name for _, name in ours).items():
            assert number == 1, f"{name} was submitted {number} times"
        for path in self.work.glob("slurm/*/submission.json"):
            for job in json.loads(path.read_text())["jobs"]:
                noted = (path.parent / f"{job['label']}.job").read_text().strip()
                known = [number for number, name in ours if name == job["name"]]
                assert known in ([], [noted]), f"{job['name']}: noted as {noted}, submitted as {known}"


def _lives(said: dict) -> bool:
    return any(task["state"] == "running" for task in said["tasks"])


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # it was faster
        process.kill()


def rounds(cluster: Cluster, folder: Path, seeds: range, slow: bool) -> None:
    """Rounds of chaos, a line for each."""
    os.environ["SLURM_CONF"] = str(cluster.conf)
    settings = folder / "settings.toml"
    settings.write_text('[slurm]\nsummary_memory = "400M"\nmemory = "400M"\nretries = 1\n')
    os.environ["CALIBOOK_SETTINGS"] = str(settings)
    for seed in seeds:
        place = folder / f"round-{seed}"
        place.mkdir()
        began = time.monotonic()
        round = Round(cluster, place, seed, slow)
        try:
            said = round.run()
        except BaseException:
            print(f"seed {seed}: FAILED after {', '.join(round.told)}; look into {place}", flush=True)
            raise
        print(f"seed {seed}: {time.monotonic() - began:.0f} s: {said}", flush=True)
        cluster.clear()
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--quick", action="store_true", help="without what SLURM needs a minute to see")
    parser.add_argument("--cluster", type=Path, help="folder of a dev-cluster that runs already and stays")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="calibook-chaos-"))
    cluster = Cluster(given.cluster) if given.cluster else Cluster.start(folder / "slurm")
    try:
        rounds(cluster, folder, range(given.seed, given.seed + given.rounds), slow=not given.quick)
    finally:
        if not given.cluster:
            cluster.stop()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
