"""Results that others hand in: one file a run, written by ``bench submit`` and judged by ``bench results check``.

A submission is JSON Lines, optionally compressed with gzip. Every line is an object with one name, which gives the
kind of the line; the same run always gives the same bytes::

    {"header": {"submission": 1, "run": ..., "device": ..., "submitter": ..., "sha256": ...}}
    {"environment": {...}}                 as :func:`claimbench.bench.machine.environment.capture` returns it
    {"plan": {...}}                        the plan of the run:
    :class:`claimbench.bench.run.run_file.RunFile`
    {"paper": {"id": ..., "files": {...}}}  a paper from elsewhere, if it was packed
    {"record": {...}}                      a line of the store, as :mod:`claimbench.bench.store.encoding` writes it; as
    many as there are {"samples": {"key": ..., "samples": [...]}}   for the records' ``samples_key``

The header's digest is of all bytes behind the first line. Nothing in a submission is trusted: values that can be
calculated again are, from the code and the papers here, and all others are held against physics, arithmetic and itself.
"""
