"""No C++ here yet."""


def unavailable() -> str:
    """Return why there is no native backend, as a sentence."""
    return "no native operator"
