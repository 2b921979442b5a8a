"""AToken: A Unified Tokenizer for Vision (CVPR 2026)."""
