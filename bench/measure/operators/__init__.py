"""Checks and times of the operators in ``kernels``."""
