"""``bench explain``: from a name to the printed figures, the counts behind them, and what explains them."""
