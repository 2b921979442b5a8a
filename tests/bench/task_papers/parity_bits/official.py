import torch

from . import model


def from_official(config, state, form=None):
    built = model.build(config)
    built.load_state_dict(state)
    return built


def outputs(counter, bits, counted):
    return counter(bits, counted)


def golden_inputs(golden):
    bits = torch.arange(golden.input_shape[0] * golden.input_shape[1]).reshape(golden.input_shape) % 2
    return bits, torch.ones_like(bits, dtype=torch.bool)
