"""AttNet and attentive convolution (arXiv 2510.20092)."""
