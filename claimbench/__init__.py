"""The suite as one package: tests whether the numbers of vision and attention papers hold today.

``claimbench.bench`` is the engine, ``claimbench.reproductions`` the papers, ``claimbench.kernels`` their shared
operators. In a checkout they lie beside this folder as ``bench/``, ``reproductions/`` and ``kernels/``. The links in
here show them to mypy and editors under their import names.
"""
