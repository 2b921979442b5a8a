"""A paper for tests: models of a few weights, some of which misbehave."""
