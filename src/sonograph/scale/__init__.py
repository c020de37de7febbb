"""Work on more sounds than one process can hold: a manifest cut into shards, a pool, marks.

`map_shards` (run.py) does a `Work` (work.py) to every sound of a manifest (manifest.py), in
processes of this machine (local.py) or in Ray Data actors (cluster.py), and writes to any place
that fsspec knows (places.py). `measure`, `alike` and `choose` are what `sonograph curate` is made
of.
"""
