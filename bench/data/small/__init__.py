"""Small data sets for studies."""
