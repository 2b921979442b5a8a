"""The commands: one file a group, each with ``register(app)``. They parse and print; the rest of ``bench`` works."""
