"""The engine, in thirteen wings: a file imports from its own wing and from those below it (CONTRIBUTING.md)."""
