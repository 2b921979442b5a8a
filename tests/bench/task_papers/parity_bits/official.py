from . import model


def from_official(config, state, form=None):
    built = model.build(config)
    built.load_state_dict(state)
    return built
