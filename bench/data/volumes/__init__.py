"""Volumes: read from NIfTI or from installed packages, and cut into slabs."""
