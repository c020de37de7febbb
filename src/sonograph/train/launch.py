"""From one command to many processes: torchrun, on this machine or on several.

A command with `--processes` or `--nodes` starts itself again under torchrun, once a process. Where
a process dies, torchrun ends the others and starts all of them again, and the trainer goes on from
its last state.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sonograph.errors import InputError

PORT = 29400
NOTE = "SONOGRAPH_NOTE"  # names the file for what is wrong, which the launcher then says once


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
        host, colon, port = self.at.rpartition(":")
        if colon and not (host and port.isdecimal() and 0 < int(port) < 65_536):
            raise InputError(f"--at {self.at} is not HOST or HOST:PORT, such as 10.0.0.1:{PORT}")

    def require_clips(self, batch: int) -> None:
        """InputError where a batch has not a clip for each process."""
        if batch < (count := self.nodes * self.each):
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
    def each(self) -> int:
        """Processes on this machine."""
        import torch

        return self.processes or max(1, torch.accelerator.device_count())

    @property
    def several(self) -> bool:
        return self.nodes > 1 or self.processes != 1


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started by torchrun."""
    return "TORCHELASTIC_RUN_ID" in environment or "LOCAL_RANK" in environment


def main_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the process that speaks for all."""
    return environment.get("RANK", "0") == "0"


@contextmanager
def one_voice() -> Iterator[None]:
    """In a process that was launched: what is wrong is noted for the launcher, not said by each.

    Input that cannot be used gets no better by another start: processes that find a note end.
    """
    note = Path(os.environ[NOTE]) if NOTE in os.environ else None
    if note is None:
        yield
        return
    if note.exists():
        sys.exit(2)
    try:
        yield
    except InputError as error:
        with suppress(FileExistsError), note.open("x") as file:
            file.write(str(error))
        sys.exit(2)
    except RuntimeError:  # the others lose their connection to the one that has ended
        if note.exists():
            sys.exit(2)
        raise


def launch(group: Group, arguments: Sequence[str]) -> int:
    """Run `sonograph ARGUMENTS` in every process of the group; the exit code.

    Raises InputError where a process met one, or where processes died more often than they are
    started again.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import (
        RendezvousClosedError,
        RendezvousError,
        RendezvousTimeoutError,
    )
    from torch.distributed.run import config_from_args, elastic_launch, get_args_parser

    words = [
        f"--nnodes={group.nodes}",
        f"--nproc-per-node={group.each}",
        f"--max-restarts={group.restarts}",
    ]
    words += ["--rdzv-backend=c10d", "--rdzv-id=sonograph", f"--rdzv-endpoint={group.meeting}"]
    if group.nodes > 1:
        words += _of_this_node(group.meeting.rsplit(":", 1)[0])
    words += ["-m", "sonograph.cli", *arguments]
    settings, program, given = config_from_args(get_args_parser().parse_args(words))
    with tempfile.TemporaryDirectory(prefix="sonograph-launch-") as place:
        note = Path(place) / "note"
        surroundings = {**_surroundings(group, settings.local_addr), **os.environ, NOTE: str(note)}
        try:
            with _environment(surroundings):
                elastic_launch(config=settings, entrypoint=program)(*given)
        except ChildFailedError as error:
            if note.exists():
                raise InputError(note.read_text()) from None
            code = error.get_first_failure()[1].exitcode
            raise InputError(
                f"a process ended with code {code}, {group.restarts} restarts included: its words "
                "stand above; the same command goes on from the last state"
            ) from None
        except SignalException as stop:
            raise KeyboardInterrupt(
                f"stopped by {stop.sigval.name}: the same command goes on from the last state"
            ) from None
        except RendezvousClosedError:
            raise InputError(
                "another node has ended the run: see what it says, and give all nodes the same "
                "command again to go on from the last state"
            ) from None
        except RendezvousTimeoutError:
            raise InputError(
                f"{group.nodes} nodes did not come together at {group.at}: give all of them this "
                "command within ten minutes"
            ) from None
        except RendezvousError:
            raise InputError(
                f"{group.at} is not reached, its port is taken, or what ran there has ended: give "
                f"all {group.nodes} nodes the same command to go on from the last state"
            ) from None
    return 0


def _of_this_node(host: str) -> list[str]:
    """How the others reach this node: by the address from which it reaches the meeting point.

    torchrun would tell them its name, which few machines can resolve for each other.
    """
    try:
        there = socket.getaddrinfo(host, PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(there[0], socket.SOCK_DGRAM) as probe:
            probe.connect(there[4])  # sends nothing: asks for the route
            here = probe.getsockname()[0]
    except OSError as error:
        raise InputError(f"--at {host} cannot be reached from here ({error})") from None
    holds = "true" if here == there[4][0] else "false"
    return [f"--local-addr={here}", f"--rdzv-conf=is_host={holds}"]


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """The environment is `values` within the block: torchrun hands its own on."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _surroundings(group: Group, address: str | None) -> dict[str, str]:
    """What processes find in their environment, unless it was set before."""
    found = {
        "OMP_NUM_THREADS": str(_threads(group)),
        # Kept over a restart, torchrun's store still holds where the dead processes listened, and
        # gloo would call there.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        # DDP warns of each model without unused weights; we cannot know which have some.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if address and (interface := _interface(address)):
        # gloo would listen where the machine's name leads: often to itself alone.
        found["GLOO_SOCKET_IFNAME"] = interface
    return found


def _interface(address: str) -> str:
    """The network interface with this address; empty where there is none."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address.split("%")[0] == address for one in addresses):
            return name
    return ""


def _threads(group: Group) -> int:
    """Threads of one process, so that all of them together have the cores of this machine."""
    return max(1, len(os.sched_getaffinity(0)) // group.each)
