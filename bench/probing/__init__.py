"""Representation probing: small heads trained on the tokens of a frozen encoder, each beside a linear probe."""
