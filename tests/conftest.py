"""What all tests share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Torch on one thread: workers share the processors, and small work is faster so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
