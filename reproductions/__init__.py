"""The papers: one folder each, with its facts (``paper.yaml``), its model and its official checkpoint layout.

Folders named by the environment variable ``BENCH_PAPERS`` (separated as in ``PATH``) are searched too, so that a paper
can be tried before it is published.
"""

import os

__path__ += [folder for folder in os.environ.get("BENCH_PAPERS", "").split(os.pathsep) if folder]
