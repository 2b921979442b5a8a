"""Interactions of users with items: found, read, checked, split."""
