"""EfficientNet-Lite0, as timm builds it."""
