"""Several processes that train one model together, one a GPU: `torchrun --nproc-per-node N -m ...` starts them.

Each rank computes with its own documents; gradients are added up. A program that torchrun did not start is rank 0 of 1.
"""

import atexit
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist


def join(device: str) -> str:
    """Meet the others that torchrun started; returns the device of this rank."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device
    wait = timedelta(hours=2)  # while rank 0 prepares
    atexit.register(leave)
    if device == "cpu":
        dist.init_process_group("gloo", timeout=wait)
        return device
    device = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", timeout=wait, device_id=torch.device(device))
    return device


def leave() -> None:
    """Part from the others; threads of a group that is left open can end the process with SIGABRT."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def n_ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def rank_0_first() -> Iterator[None]:
    """The block runs in rank 0, and then in the others: what it left in files is there for them."""
    if rank():
        dist.barrier()
    yield
    if n_ranks() > 1 and not rank():
        dist.barrier()


def share(items: Tensor) -> Tensor:
    """The rows of `items` that are this rank's."""
    return items[rank() :: n_ranks()]


def gather(part: Tensor) -> Tensor:
    """The parts of all ranks, of one shape, one after the other."""
    if n_ranks() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(n_ranks())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def add_up(tensors: Iterable[Tensor | None]) -> None:
    """Each tensor becomes its sum over all ranks."""
    if n_ranks() > 1:
        for work in [dist.all_reduce(x, async_op=True) for x in tensors if x is not None]:
            work.wait()


def copy_from_rank_0(tensors: Iterable[Tensor]) -> None:
    """Each tensor becomes what it is in rank 0."""
    if n_ranks() > 1:
        for x in tensors:
            dist.broadcast(x.detach(), 0)


def agree(*numbers: float) -> list[float]:
    """For each number the largest that a rank has."""
    if n_ranks() == 1:
        return list(numbers)
    highest = torch.tensor(numbers, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        highest = highest.cuda()
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    return highest.tolist()
