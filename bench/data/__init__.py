"""Data from outside, checked before anything uses them."""
