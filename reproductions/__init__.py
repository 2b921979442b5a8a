"""The papers: one folder each, with its facts (``paper.yaml``), its model and its official checkpoint layout."""
