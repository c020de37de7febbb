"""Models as files that other programs run: waveform (or text) in, answer out, front-end included.

`surface.py` says what goes in and out of a model of each kind, `tracing.py` follows it once,
`onnx.py`, `program.py` and `package.py` write and open files, `check.py` compares what was written
with the model, `int8.py` makes it smaller, `writing.py` does all of it in order.
"""
