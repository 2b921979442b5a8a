"""The papers' models in other people's frameworks."""
