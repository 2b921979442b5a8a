"""What tests of the models share."""

import pytest


@pytest.fixture(autouse=True)
def quiet(one_thread):
    """Every test of a model runs on one thread."""
