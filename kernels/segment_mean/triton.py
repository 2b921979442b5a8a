"""No Triton here yet."""


def unavailable() -> str:
    """Return why there is no Triton backend, as a sentence."""
    return "no Triton operator"
