"""Regressions: two sets of records compared like with like, by a test that knows how much processes differ anyway."""
