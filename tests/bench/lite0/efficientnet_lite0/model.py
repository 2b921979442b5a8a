import timm


def build(config, form):
    return timm.create_model("tf_efficientnet_lite0")
