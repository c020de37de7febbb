"""What tests of exporting need, or a word why they are skipped."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def need_export() -> None:
    """Skip where the extra is missing; never in CI."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"{', '.join(missing)}: pip install 'sonograph[export]'")
