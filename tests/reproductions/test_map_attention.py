"""Attention over all positions of a map, in the form that is trained and in PyTorch's fused kernel."""

import torch

from claimbench.reproductions.map_attention import GlobalAttention, GridAttention


def test_both_forms_give_one_result_and_one_gradient():
    torch.manual_seed(0)
    trained = GlobalAttention(12, 3, 5, True)
    fused = GridAttention(12, 3, 5, True)
    fused.load_state_dict(trained.state_dict())
    x = torch.randn(2, 5, 5, 12)
    found, expected = trained(x), fused(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for out in (found, expected):
        out.square().sum().backward()
    for (name, ours), theirs in zip(trained.named_parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
