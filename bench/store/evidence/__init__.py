"""The evidence in :attr:`~claimbench.bench.core.records.Measurement.detail`: a class for each kind of row.

A metric fills a class and stores its ``to_detail()``. The rules on submissions take it back by
:func:`~claimbench.bench.store.evidence.reading.read`; reports see the fields of
:class:`~claimbench.bench.store.evidence.reading.Shown` in every row. No key of a detail is spelled elsewhere.
"""
