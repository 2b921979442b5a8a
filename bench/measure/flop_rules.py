"""The rules of a FLOP count: formulas that torch lacks or has wrong, and the operators that are free on purpose.

The convention is that of the field: matrix products, convolutions and attention count, two FLOPs a multiply-add;
work that touches each element a few times (norms, activations, softmax, pooling, resizing) does not.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import conv_flop_count, sdpa_flop_count

aten = torch.ops.aten

_FREE_NAMES: dict[str, str] = {
    "moves or makes data": """
        _to_copy _unsafe_index _unsafe_view arange as_strided_ cat clone col2im constant_pad_nd copy_ diag_embed empty
        empty_like empty_strided expand_copy eye fill_ fill flip full full_like im2col index index_add index_copy
        index_put index_put_ index_select gather linspace lift_fresh lift_fresh_copy masked_fill masked_fill_
        masked_scatter masked_select new_empty new_empty_strided new_full new_ones new_zeros nonzero ones
        ones_like pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d repeat replication_pad2d
        resize_ roll rot90 channel_shuffle scalar_tensor scatter scatter_ scatter_add scatter_add_
        select_backward select_scatter slice_backward slice_scatter stack t_copy tril triu unfold_backward
        unsafe_split view_as_complex view_as_real zero_ zeros zeros_like embedding embedding_dense_backward
        bucketize reflection_pad2d_backward replication_pad2d_backward diagonal_backward _reshape_alias
    """,
    "elementwise, without torch's tag": """
        _prelu_kernel _prelu_kernel_backward elu_backward gelu_ glu glu_backward hardsigmoid_backward hardswish
        hardswish_ hardswish_backward hardtanh_backward leaky_relu_backward log_sigmoid_backward
        log_sigmoid_forward mish_backward polar softplus_backward
    """,
    "reads a value or a shape": """
        _local_scalar_dense item equal is_same_size
    """,
    "draws random numbers": """
        bernoulli bernoulli_ native_dropout native_dropout_backward normal_ rand rand_like randn randn_like
        uniform_ randperm randint multinomial
    """,
    "one pass over its input (reduction, scan or sort)": """
        all amax amin any argmax argmin cummax cummin cumprod cumsum linalg_vector_norm max mean min norm prod
        sort std sum topk var var_mean logsumexp argsort std_mean value_selecting_reduction_backward bincount
        scatter_reduce searchsorted unique_consecutive unique_dim _unique2
    """,
    "normalisation": """
        _batch_norm_no_update _batch_norm_with_update _native_batch_norm_legit
        _native_batch_norm_legit_no_training batch_norm_backward cudnn_batch_norm cudnn_batch_norm_backward
        native_batch_norm native_batch_norm_backward native_group_norm native_group_norm_backward
        native_layer_norm native_layer_norm_backward _fused_rms_norm _fused_rms_norm_backward layer_norm_2d
        layer_norm_2d_backward global_response_norm global_response_norm_backward
    """,
    "softmax": """
        _softmax _softmax_backward_data _safe_softmax _log_softmax _log_softmax_backward_data
    """,
    "loss, once a pass": """
        nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward
        binary_cross_entropy_with_logits mse_loss mse_loss_backward
    """,
    "pooling": """
        _adaptive_avg_pool2d _adaptive_avg_pool2d_backward adaptive_max_pool2d adaptive_max_pool2d_backward
        avg_pool1d avg_pool2d avg_pool2d_backward avg_pool3d max_pool2d_with_indices
        max_pool2d_with_indices_backward _adaptive_avg_pool3d segment_mean segment_mean_backward
    """,
    "resizing": """
        upsample_bilinear2d upsample_bilinear2d_backward upsample_bicubic2d upsample_bicubic2d_backward
        upsample_nearest1d upsample_nearest2d upsample_nearest2d_backward _upsample_bilinear2d_aa
        _upsample_bilinear2d_aa_backward
        _upsample_bicubic2d_aa upsample_linear1d upsample_trilinear3d roi_align _roi_align_backward
        box_warp box_warp_backward
    """,
}
FREE = {reason: frozenset(names.split()) for reason, names in _FREE_NAMES.items()}
"""Operators that count nothing, by the reason; views and operators that torch tags as pointwise are free as well."""

NAMESPACES = ("aten", "claimbench", "prim", "prims", "torchvision")
"""The libraries of the names in :data:`FREE`; an operator of any other library needs a formula."""


def free_reason(op: torch._ops.OpOverload) -> str | None:
    """Return the reason that ``op`` counts nothing; None if it has to be counted."""
    if op.is_view:
        return "view"
    if torch.Tag.pointwise in op.tags:
        return "elementwise"
    namespace, name = op._overloadpacket._qualified_op_name.split("::")
    if namespace not in NAMESPACES:
        return None
    return next((reason for reason, names in FREE.items() if name in names), None)


def _convolution_backward(
    grad: Any,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    output_mask: Any,
    out_shape: Any = None,
) -> int:
    """Each gradient costs as much as the forward pass; torch ignores groups in the weight's gradient."""
    return conv_flop_count(x, weight, grad, transposed) * (bool(output_mask[0]) + bool(output_mask[1]))


def attention_pairs(queries: int, keys: int, causal: bool) -> int:
    """Return the number of (query, key) pairs that attention looks at; a causal query sees no later key."""
    if not causal:
        return queries * keys
    seen = min(queries, keys)
    return seen * (seen + 1) // 2 + max(queries - keys, 0) * keys


def _attention(causal_position: int) -> Callable[..., int]:
    """Return a formula for a fused attention whose ``is_causal`` is its argument number ``causal_position``."""

    def formula(query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        position = causal_position - 3
        causal = bool(args[position]) if len(args) > position else bool(kwargs.get("is_causal", False))
        dense = sdpa_flop_count(query, key, value)
        return dense * attention_pairs(query[-2], key[-2], causal) // (query[-2] * key[-2])

    return formula


def _attention_backward(
    grad: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    logsumexp: Any,
    dropout: Any,
    causal: bool,
    *args: Any,
    out_shape: Any = None,
    **kwargs: Any,
) -> int:
    """Two gradients for each of the two products; the scores that a fused kernel computes again are not useful work."""
    dense = 2 * sdpa_flop_count(query, key, value)
    return dense * attention_pairs(query[-2], key[-2], bool(causal)) // (query[-2] * key[-2])


def _matrix_vector(matrix: Any, vector: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * prod(matrix)


def _add_matrix_vector(start: Any, matrix: Any, vector: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * prod(matrix)


def _add_batched(start: Any, a: Any, b: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * prod(a) * b[-1]


FORMULAS: dict[Any, Callable[..., int]] = {
    aten.convolution_backward: _convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention(4),
    aten._scaled_dot_product_flash_attention: _attention(4),
    aten._scaled_dot_product_efficient_attention: _attention(6),
    aten._scaled_dot_product_cudnn_attention: _attention(6),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten.mv: _matrix_vector,
    aten.dot: _matrix_vector,
    aten.vdot: _matrix_vector,
    aten.addmv: _add_matrix_vector,
    aten.addbmm: _add_batched,
    aten._addmm_activation: _add_batched,
}
"""Formulas beyond torch's own, called with shapes: gradients of grouped convolutions (torch is too high by the number
of groups), fused attention (dense in torch if it is causal, absent for the CPU in older versions), products with a
vector (absent)."""
