"""Models are built, used and saved without GPU, network, or a trace in the home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import socket, sys

def refuse(*given, **more):
    raise AssertionError("the network was asked for")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse

import numpy as np
import torch

from sonograph import registry, weights
from sonograph.infer.embed import embed
from sonograph.outputs import Audio

heard = ("represent", "tag")
names = [
    p.name
    for p in registry.presets("*-test")
    if registry.system(p.system).task in heard
]
for name in names:
    folder = f"{sys.argv[1]}/{name}"
    weights.save_folder(folder, registry.build(name), {"name": name})
    embed(weights.load(folder), Audio(np.ones((1, 4000), np.float32) * 0.1, 16000))
assert not torch.cuda.is_initialized()
print(len(names))
"""


def test_no_network_no_gpu_no_trace_at_home(tmp_path):
    home = tmp_path / "home"
    (tmp_path / "work").mkdir()
    home.mkdir()
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "out")],
        env=environment,
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
    assert list(home.rglob("*")) == []
    assert list(Path(tmp_path / "work").iterdir()) == []
