from claimbench.reproductions.tiny.model import build


def from_official(config, state, form=None):
    model = build(config, form or "training")
    problems = model.load_state_dict({name.removeprefix("net."): value for name, value in state.items()}, strict=False)
    if problems.missing_keys or problems.unexpected_keys:
        raise ValueError(f"missing {problems.missing_keys[:1]}, unexpected {problems.unexpected_keys[:1]}")
    return model


def outputs(model, x):
    return {"logits": model(x)}
