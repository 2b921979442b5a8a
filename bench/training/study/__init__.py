"""Small-scale studies: a paper's block and its counterpart in one small network, trained by one recipe on real data."""
