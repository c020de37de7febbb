"""What a running service has done, in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EDGES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")


class Metrics:
    """Counts of requests, and how long their answers took to begin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._within: dict[str, list[int]] = defaultdict(lambda: [0] * (len(EDGES_S) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        with self._lock:
            self._requests[method, route, status] += 1
            self._within[route][bisect_left(EDGES_S, seconds)] += 1
            self._seconds[route] += seconds

    def count(self, name: str, by: int = 1) -> None:
        """One more of a thing that only grows; name as in `text`."""
        with self._lock:
            self._counts[name] += by

    def set(self, name: str, value: int) -> None:
        """The same for what someone else counts."""
        with self._lock:
            self._counts[name] = value

    def text(self, gauges: Mapping[str, tuple[str, float | Mapping[str, float]]]) -> str:
        """All of it. gauges: name -> (help, value), or (help, values by state)."""
        lines = []
        with self._lock:
            lines += _head("requests_total", "counter", "Requests answered.")
            for (method, route, status), count in sorted(self._requests.items()):
                labels = f'method="{method}",route="{_text(route)}",status="{status}"'
                lines.append(f"sonograph_requests_total{{{labels}}} {count}")
            name = "request_seconds"
            lines += _head(name, "histogram", "Seconds until an answer began.")
            for route, counts in sorted(self._within.items()):
                total, label = 0, f'route="{_text(route)}"'
                for edge, count in zip((*EDGES_S, "+Inf"), counts, strict=True):
                    total += count
                    lines.append(f'sonograph_{name}_bucket{{{label},le="{edge}"}} {total}')
                lines.append(f"sonograph_{name}_sum{{{label}}} {self._seconds[route]:.6f}")
                lines.append(f"sonograph_{name}_count{{{label}}} {total}")
            for name, count in sorted(self._counts.items()):
                lines += _head(name, "counter", COUNTERS[name])
                lines.append(f"sonograph_{name} {count}")
        for name, (words, value) in gauges.items():
            lines += _head(name, "gauge", words)
            if isinstance(value, Mapping):
                lines += [f'sonograph_{name}{{state="{k}"}} {v:g}' for k, v in value.items()]
            else:
                lines.append(f"sonograph_{name} {value:.17g}")
        return "\n".join(lines) + "\n"


COUNTERS = {
    "model_loads_total": "Models read from disk.",
    "batches_total": "Batches of windows that small requests shared.",
    "batched_windows_total": "Windows in those batches.",
    "jobs_total": "Jobs that were taken.",
    "uploads_total": "Sounds that were taken.",
    "upload_bytes_total": "Bytes of those sounds.",
}


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP sonograph_{name} {words}", f"# TYPE sonograph_{name} {kind}"]


def _text(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def memory_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not tell."""
    try:
        told = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    line = next((line for line in told.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0")
    return int(line.split()[1]) * 1024
