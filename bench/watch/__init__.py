"""Watches records over time: regressions and nightly runs."""
