"""Packing and unpacking: their definitions, their backends, their registration and their errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend
from claimbench.kernels.pack_tokens import pack_tokens
from claimbench.kernels.unpack_tokens import unpack_tokens
from tests.kernels import operators

NAMES = ("pack_tokens", "unpack_tokens")
ALIVE = torch.tensor([[True, False, True], [False, False, True]])


@pytest.mark.parametrize("name", [None, "reference"])
def test_rows_that_are_alive_keep_their_order(name):
    tokens = torch.arange(12.0).view(2, 3, 2)
    with backend.use(name):
        assert pack_tokens(tokens, ALIVE).tolist() == [[0, 1], [4, 5], [10, 11]]


@pytest.mark.parametrize("name", [None, "reference"])
def test_unpacking_is_the_way_back(name):
    tokens, canvas = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    with backend.use(name):
        rows = pack_tokens(tokens, ALIVE)
        found = unpack_tokens(rows, ALIVE, canvas)
    torch.testing.assert_close(found, torch.where(ALIVE[..., None], tokens, canvas))


@pytest.mark.parametrize("name", [None, "reference"])
def test_gradients_go_to_what_was_read(name):
    tokens = torch.randn(2, 3, 4, requires_grad=True)
    canvas = torch.randn(2, 3, 4, requires_grad=True)
    with backend.use(name):
        unpack_tokens(pack_tokens(tokens, ALIVE), ALIVE, canvas).sum().backward()
    torch.testing.assert_close(tokens.grad, ALIVE[..., None].expand(2, 3, 4).float())
    torch.testing.assert_close(canvas.grad, 1 - tokens.grad)


def test_bits_are_moved_as_they_are():
    tokens = torch.tensor([[torch.nan], [-0.0], [torch.inf]])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        found = pack_tokens(tokens.to(dtype), torch.ones(3, dtype=torch.bool))
        assert torch.equal(found.view(torch.uint8), tokens.to(dtype).view(torch.uint8))


@pytest.mark.parametrize("operator", NAMES)
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype(operator):
    operators.assert_native_is_right(operator)


@pytest.mark.parametrize("operator", NAMES)
@pytest.mark.parametrize("case", ["33x5"])
def test_triton_agrees_with_the_reference(operator, case):
    pytest.importorskip("triton")
    rows = check_all([operator], ["triton"], ["float32"], "cuda" if torch.cuda.is_available() else "cpu", case=case)
    assert [(row.status, row.reason) for row in rows] == [("passed", "")]


@pytest.mark.parametrize("operator", NAMES)
@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype(operator):
    operators.assert_triton_is_right(operator, list(DTYPES))


@pytest.mark.parametrize("operator", NAMES)
def test_is_registered_well(operator):
    operators.assert_registered_well(operator, [0, 3])


def test_compiles():
    operators.assert_compiles("pack_tokens", pack_tokens)
    operators.assert_compiles("unpack_tokens", unpack_tokens)


@pytest.mark.parametrize("name", [None, "reference"])
def test_another_number_of_rows_is_refused(name):
    with backend.use(name):
        with pytest.raises(ValueError, match="length is 2, but 3 tokens are alive"):
            pack_tokens(torch.zeros(2, 3, 1), ALIVE, 2)
        with pytest.raises(ValueError, match="there are 2 rows for 3 places that are alive"):
            unpack_tokens(torch.zeros(2, 1), ALIVE, torch.zeros(2, 3, 1))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"alive must be \(2, 3\)"):
        pack_tokens(torch.zeros(2, 3, 1), ALIVE[:1])
    with pytest.raises(ValueError, match=r"alive must be \(2, 3\)"):
        unpack_tokens(torch.zeros(3, 1), ALIVE[:1], torch.zeros(2, 3, 1))
    op, way_back = torch.ops.claimbench.pack_tokens, torch.ops.claimbench.unpack_tokens
    for args in ((torch.zeros(6, 1), ALIVE.flatten(), 7), (torch.zeros(6, 1), ALIVE.flatten().float(), 3)):
        with pytest.raises(ValueError, match="pack_tokens: "):
            op(*args)
    for rows, canvas in ((torch.zeros(7, 1), torch.zeros(6, 1)), (torch.zeros(3, 2), torch.zeros(6, 1))):
        with pytest.raises(ValueError, match="unpack_tokens: "):
            way_back(rows, ALIVE.flatten(), canvas)
