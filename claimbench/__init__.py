"""Do a vision or attention paper's numbers hold today? The suite as one package.

``claimbench.bench`` is the engine, ``claimbench.reproductions`` the papers, ``claimbench.kernels`` their shared
operators. In
a checkout they lie beside this folder as ``bench/``, ``reproductions/`` and ``kernels/``; the links in here let tools
that read the tree, such as mypy and editors, find them under their import names.
"""
