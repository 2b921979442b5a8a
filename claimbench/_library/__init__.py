"""The functions behind ``import claimbench``: models by name, their transforms, and exported files."""
