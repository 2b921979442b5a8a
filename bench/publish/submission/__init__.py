"""Results that others hand in: one file a run, written by ``bench submit`` and judged by ``bench results check``.

A submission is JSON Lines, optionally compressed with gzip. Every line is an object with one name, the kind of the
line, and follows its schema in :mod:`claimbench.bench.publish.submission.lines`: a header, the environment, the plan of
the run, the files of papers from elsewhere if they were packed, records as the store holds them, and the samples that
they name. The same run always gives the same bytes.

The header's digest is of all bytes behind the first line. Nothing in a submission is trusted: values that can be
calculated again are, from the code and the papers here, and all others are held against physics, arithmetic and itself.
"""
