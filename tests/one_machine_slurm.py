"""A Slurm cluster of one machine for tests: munged, slurmctld and slurmd of one's own, in a folder, on free ports."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "sinfo")
SECONDS = 60

CONF = """\
ClusterName=rrgtest
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld}
SlurmdPort={slurmd}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why no cluster can be started here; None when one can."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        return f"slurm-wlm is not installed: no {', '.join(missing)}"
    return None if os.geteuid() == 0 else "slurmctld and slurmd are started as root here"


def _ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


@contextlib.contextmanager
def cluster(cpus: int = 4) -> Iterator[Mapping[str, str]]:
    """The environment in which sbatch and its kin reach a cluster. RuntimeError when it does not start."""
    folder = Path(tempfile.mkdtemp(prefix="rrg-slurm-"))
    folder.chmod(0o755)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        log = (folder / f"{words[0]}.out").open("wb")
        with log:
            started.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True))

    try:
        ctld, slurmd = _ports(2)
        host = socket.gethostname().partition(".")[0]
        text = CONF.format(folder=folder, host=host, ctld=ctld, slurmd=slurmd, cpus=cpus)
        (folder / "slurm.conf").write_text(text)
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (folder / "munge.key").chmod(0o600)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        own = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        start("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *own)
        _until(lambda: (folder / "munge.socket").exists(), "munged", folder)
        start("slurmctld", "-D", "-i")
        start("slurmd", "-D", "-N", host)
        _until(lambda: b"idle" in _answer(environment), "slurmd", folder)
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answer(environment: Mapping[str, str]) -> bytes:
    words = ["sinfo", "--noheader", "--format=%T"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(words, env=dict(environment), capture_output=True, timeout=10, check=False).stdout
    return b""


def _until(holds: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            said = [path.read_text(errors="replace")[-400:] for path in sorted(folder.glob("*.out"))]
            said += [path.read_text(errors="replace")[-800:] for path in sorted(folder.glob("*.log"))]
            raise RuntimeError(f"{what} did not start: {' | '.join(said)}")
        time.sleep(0.2)
