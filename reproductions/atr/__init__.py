"""Deep Human Parsing with Active Template Regression (IEEE TPAMI 2015)."""
