"""Sequential recommendation: what a user does next. Data, the protocol that scores a model, and training."""
