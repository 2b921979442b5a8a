"""DeepLab v2: atrous convolution, atrous spatial pyramid pooling, dense CRF (Chen et al., arXiv 1606.00915)."""
