"""From a name to a network with weights."""
