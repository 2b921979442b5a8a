"""Deep Learning Face Attributes in the Wild (ICCV 2015)."""
