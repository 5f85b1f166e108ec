"""The cluster of `slurm/dev-cluster`, and what can be done to it. Also used by `chaos.py`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SCRIPT = Path(__file__).resolve().parents[2] / "slurm" / "dev-cluster"
DAEMONS = f"{os.environ['PATH']}:/usr/sbin:/sbin"
NODES = ("node1", "node2", "node3", "node4")


def missing_commands() -> list[str]:
    """Commands of SLURM that are not installed here."""
    wanted = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
    return [name for name in wanted if shutil.which(name, path=DAEMONS) is None]


def fake(folder: Path, name: str, body: str, monkeypatch) -> None:
    """A command of SLURM of our own, before the real one ($real) in PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\nreal={shutil.which(name)}\n{body}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path

    @classmethod
    def start(cls, folder: Path) -> Cluster:
        """A new one."""
        subprocess.run([SCRIPT, "up", "--folder", folder], check=True, capture_output=True)
        return cls(folder)

    def stop(self) -> None:
        """End all of it."""
        subprocess.run([SCRIPT, "down", "--folder", self.folder], check=True, capture_output=True)

    @property
    def conf(self) -> Path:
        """Its slurm.conf."""
        return self.folder / "slurm.conf"

    def ask(self, *command: str, check: bool = True) -> str:
        """What a command of SLURM prints."""
        env = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": DAEMONS}
        # They give up by themselves; a machine may be put to sleep meanwhile.
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def jobs(self) -> list[tuple[str, str, str]]:
        """(ID, state, name) of all that waits or runs."""
        lines = self.ask("squeue", "--noheader", "--array", "--format=%i|%T|%j").splitlines()
        return [tuple(line.split("|")) for line in lines]

    def reasons(self) -> dict[str, str]:
        """Why each job waits that does not run, by its ID."""
        lines = self.ask("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i|%r").splitlines()
        return dict(line.split("|") for line in lines)

    def submitted(self) -> list[tuple[str, str]]:
        """(array's or job's ID, name) of all that SLURM remembers, each once."""
        lines = self.ask("squeue", "--noheader", "--array", "--states=all", "--format=%F|%j").splitlines()
        return sorted({tuple(line.split("|")) for line in lines})

    def clear(self) -> None:
        """No jobs any more."""
        self.ask("scancel", "--user", str(os.getuid()), check=False)
        self.ask("scancel", "--full", "--user", str(os.getuid()), check=False)
        end = time.monotonic() + 20
        while self.jobs() and time.monotonic() < end:
            time.sleep(0.1)

    def all_up(self) -> None:
        """Every daemon runs and every node takes jobs."""
        if not self.daemon("slurmctld"):
            self.ask("slurmctld")
        for node in NODES:
            if not self.daemon("slurmd", node):
                self.ask("slurmd", "-N", node)
        end = time.monotonic() + 60
        while missing := self.unfit():
            assert time.monotonic() < end, f"these nodes do not come up: {missing}"
            drained = [node for node, state in missing.items() if state.startswith("drain")]
            if drained:  # a killed controller gives IDs again, and drains the nodes where such jobs run
                names = f"nodename={','.join(drained)}"
                self.ask("scontrol", "update", names, "state=resume", check=False)
            time.sleep(0.2)

    def unfit(self) -> dict[str, str]:
        """Nodes that take no jobs, and their states; one that does not answer has a "*"."""
        lines = self.ask("sinfo", "-h", "-N", "-o", "%N %T", check=False).splitlines()
        states = dict(line.split() for line in lines)
        fit = ("idle", "mixed", "allocated", "completing", "allocated+", "mixed+")
        return {node: state for node in NODES if (state := states.get(node, "unknown")) not in fit}

    def daemon(self, name: str, node: str = "") -> psutil.Process | None:
        """A daemon's process, by its own pid file."""
        try:
            pid = int((self.folder / f"{name}{'-' + node if node else ''}.pid").read_text())
            process = psutil.Process(pid)
            lives = process.status() != psutil.STATUS_ZOMBIE and name in process.name()
            return process if lives else None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None

    def kill(self, name: str, node: str = "", number: int = signal.SIGKILL) -> None:
        """End a daemon."""
        process = self.daemon(name, node)
        if process:
            process.send_signal(number)
            for left in psutil.wait_procs([process], timeout=15)[1]:
                left.kill()  # a controller that is busy may take minutes to end politely
                left.wait(15)

    def tasks(self) -> list[psutil.Process]:
        """The processes of jobs on this cluster: what Python of calibook they run."""
        return [p for p in self._ours() if "SLURM_JOB_ID" in _environ(p)]

    def stepds(self) -> list[psutil.Process]:
        """slurmstepd processes of this cluster's jobs."""
        return [p.parent() for p in self.tasks() if p.parent() and "slurmstepd" in p.parent().name()]

    def _ours(self) -> list[psutil.Process]:
        conf = str(self.conf)
        return [p for p in psutil.process_iter() if _environ(p).get("SLURM_CONF") == conf]


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
