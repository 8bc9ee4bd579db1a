"""Several processes that train together: torchrun or srun start them, each takes its part of every batch."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rrg.errors import UsageError

BUCKET = 1 << 25
"""Most elements of gradients that travel in one piece."""


@dataclass(frozen=True)
class Devices:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1
    local: int = 0
    """Number of the process on its machine, and of its GPU."""

    @property
    def first(self) -> bool:
        """It writes the run folder and speaks."""
        return self.rank == 0

    def device(self) -> torch.device:
        """Its GPU, or the CPU."""
        return torch.device("cuda", self.local) if torch.cuda.is_available() else torch.device("cpu")

    def own(self, items: list[Any]) -> list[Any]:
        """Its part of a list, the same for every process in order: items rank, rank + count, ..."""
        return items[self.rank :: self.count]

    def slice_of(self, batch: Tensor) -> Tensor:
        """Its rows of a batch, one stretch of all. UsageError when the batch has no equal parts."""
        if len(batch) % self.count:
            raise UsageError(
                f"a batch of {len(batch)} has no equal parts for {self.count} processes; start another number"
            )
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]

    def joined(self, rows: Tensor) -> Tensor:
        """The rows of all processes in order. Gradients flow into its own; summed over processes they are the whole."""
        if self.count == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.count)]
        torch.distributed.all_gather(parts, rows.detach().contiguous())
        parts[self.rank] = rows
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process. All must ask."""
        return bool(self.total(float(flag)))

    def total(self, value: float) -> float:
        """Sum over the processes. All must ask."""
        if self.count == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64, device=_wire())
        torch.distributed.all_reduce(held)
        return float(held)

    def share(self, value: float) -> float:
        """Its part of the sum over the processes; 1 when alone."""
        return 1.0 if self.count == 1 else value / max(self.total(value), 1e-30)

    def gathered(self, value: Any) -> list[Any]:
        """The value of every process, by rank. All must ask."""
        if self.count == 1:
            return [value]
        held: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(held, value)
        return held

    def add_gradients(self, weights: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients of all processes in place; a missing one counts as 0."""
        if self.count == 1:
            return
        held = list(weights)
        for weight in held:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        while held:
            part: list[torch.nn.Parameter] = []
            size = 0
            while held and (not part or size + held[0].numel() <= BUCKET):
                size += held[0].numel()
                part.append(held.pop(0))
            flat = torch.cat([_gradient(weight).flatten() for weight in part])
            torch.distributed.all_reduce(flat)
            for weight, piece in zip(part, torch.split(flat, [weight.numel() for weight in part]), strict=True):
                _gradient(weight).copy_(piece.view_as(weight))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            torch.distributed.barrier()


ALONE = Devices()


def _gradient(weight: torch.nn.Parameter) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def _wire() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def settings_of(environment: dict[str, str]) -> tuple[Devices, str, int]:
    """(this process, address, port) from the variables of torchrun, else of a Slurm step with several tasks.

    Slurm: SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID; the address is the first host of SLURM_STEP_NODELIST
    (MASTER_ADDR where it is set), the port follows from the job's number (MASTER_PORT where it is set).
    """
    try:
        if int(environment.get("WORLD_SIZE", "1")) > 1:
            made = Devices(*(int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
            return made, environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
        if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
            made = Devices(*(int(environment[name]) for name in names))
            hosts = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
            port = 20000 + int(environment["SLURM_JOB_ID"]) % 20000
            address = environment.get("MASTER_ADDR") or first_host(hosts)
            return made, address, int(environment.get("MASTER_PORT", port))
    except (KeyError, ValueError) as error:
        raise UsageError(f"several processes: {error} is missing or no number; start with torchrun or srun") from None
    return ALONE, "", 0


def first_host(hosts: str) -> str:
    """``gpu[03-05,9],cpu1`` -> ``gpu03``: the first name of a Slurm list of hosts."""
    match = re.match(r"([^\[,]+)(?:\[([0-9]+)[^\]]*\]([^,\[]*))?", hosts)
    if match is None:
        raise UsageError(f"SLURM_STEP_NODELIST {hosts!r}: no host in it; set MASTER_ADDR")
    return match[1] + (match[2] or "") + (match[3] or "")


@contextmanager
def together() -> Iterator[Devices]:
    """Join the processes of the run: NCCL with GPUs, gloo without. Alone when nobody else was started."""
    made, address, port = settings_of(dict(os.environ))
    if made.count == 1:
        yield made
        return
    if not made.first:
        os.environ["RRG_QUIET"] = "1"
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(made.local)
    method = "env://" if "TORCHELASTIC_RUN_ID" in os.environ else f"tcp://{address}:{port}"
    torch.distributed.init_process_group(
        "nccl" if gpu else "gloo", init_method=method, rank=made.rank, world_size=made.count
    )
    try:
        yield made
    finally:
        torch.distributed.destroy_process_group()
