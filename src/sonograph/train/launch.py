"""From one command to many processes: torchrun, on this machine or on several.

A command with `--processes` or `--nodes` starts itself again under torchrun, once a process. Where
a process dies, torchrun ends the others and starts all of them again, and the trainer goes on from
its last state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sonograph.errors import InputError

PORT = 29400


@dataclass(frozen=True)
class Group:
    """How many processes there are, and where they meet.

    processes: on this machine, 0 for as many as it has GPUs (one, where it has none). nodes:
    machines, each of which is given the same command. at: where they meet, HOST or HOST:PORT of one
    of them. restarts: how often processes are started again after one died.
    """

    processes: int = 1
    nodes: int = 1
    at: str = ""
    restarts: int = 3

    def __post_init__(self) -> None:
        if self.processes < 0 or self.nodes < 1 or self.restarts < 0:
            raise InputError(
                f"{self.processes} processes, {self.nodes} nodes, {self.restarts} restarts: give 0 "
                "or more processes, 1 or more nodes, 0 or more restarts"
            )
        if self.nodes > 1 and not self.at:
            raise InputError(
                "several nodes have to meet somewhere: give all of them the same --at HOST:PORT, "
                "the address of one of them"
            )

    def require_clips(self, batch: int) -> None:
        """InputError where a batch has not a clip for each process."""
        if batch < (count := self.nodes * max(1, self.processes)):
            raise InputError(
                f"a batch of {batch} clips for {count} processes: give --batch {count} or more"
            )

    @property
    def meeting(self) -> str:
        """Where they meet: of one machine any free port."""
        if self.nodes == 1:
            return "localhost:0"
        return self.at if ":" in self.at else f"{self.at}:{PORT}"

    @property
    def several(self) -> bool:
        return self.nodes > 1 or self.processes != 1


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started by torchrun."""
    return "TORCHELASTIC_RUN_ID" in environment or "LOCAL_RANK" in environment


def main_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the process that speaks for all."""
    return environment.get("RANK", "0") == "0"


def launch(group: Group, arguments: Sequence[str]) -> int:
    """Run `sonograph ARGUMENTS` in every process of the group; the exit code.

    Raises InputError where processes died more often than they are started again.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import config_from_args, elastic_launch, get_args_parser

    words = [
        f"--nnodes={group.nodes}",
        f"--nproc-per-node={group.processes or 'auto'}",
        f"--max-restarts={group.restarts}",
    ]
    words += ["--rdzv-backend=c10d", "--rdzv-id=sonograph", f"--rdzv-endpoint={group.meeting}"]
    words += ["-m", "sonograph.cli", *arguments]
    settings, program, given = config_from_args(get_args_parser().parse_args(words))
    os.environ.setdefault("OMP_NUM_THREADS", str(_threads(group)))
    try:
        elastic_launch(config=settings, entrypoint=program)(*given)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        if code in (2, 130):  # its own line stands above
            return code
        raise InputError(
            f"a process ended with code {code}, {group.restarts} restarts included: its words "
            "stand above"
        ) from None
    except RendezvousError as error:
        raise InputError(
            f"the nodes did not meet at {group.at} ({error}): is it reached?"
        ) from None
    return 0


def _threads(group: Group) -> int:
    """Threads of one process, so that all of them together have the cores of this machine."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, group.processes))
