from claimbench.reproductions.fake.model import build


def from_official(config, state, form=None):
    model = build(config, form or "merged")
    own = model.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    if wrong or len(own) != len(state):
        raise ValueError(f"missing or misshapen: {', '.join(wrong)}")
    model.load_state_dict(state)
    return model.to(next(iter(state.values())).dtype)


def outputs(model, x):
    return {"logits": model(x)}
