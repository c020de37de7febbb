"""Tag a sound with onnxruntime alone: an exported file and its JSON are all that is needed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TAG = """
import json, sys
import numpy as np, onnxruntime

about = json.load(open(sys.argv[1]))
model = onnxruntime.InferenceSession(sys.argv[1].replace(".json", ".onnx"))
sound = np.load(sys.argv[2])[None, : about["sizes"]["samples"]["most"]]
(scores,) = model.run(None, {about["inputs"][0]["name"]: sound})
for k in scores[0].argsort()[::-1][:3]:
    print(f"{scores[0, k]:6.1%}  {about['labels'][k]}")
assert "torch" not in sys.modules
"""


def main() -> None:
    import sonograph as sound

    with tempfile.TemporaryDirectory() as folder:
        done = sound.export("panns-mini", folder)
        print(f"{done.file.name}: largest error {done.told['largest_error']:.0e}")
        speech = sound.speak("Is anybody at the door?").resample(done.told["rate_hz"])
        np.save(path := Path(folder) / "speech.npy", np.tile(speech.samples[0], 2))
        subprocess.run([sys.executable, "-c", TAG, done.sheet, path], check=True)


if __name__ == "__main__":
    main()
