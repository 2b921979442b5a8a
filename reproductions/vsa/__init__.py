"""VSA: window attention whose windows move and stretch with their content (Zhang et al., ECCV 2022)."""
