"""Nights: everything that fits a budget is measured, compared with the last good night, and summed up."""
