"""Semantic segmentation: data sets of pictures and masks, intersection over union, bands around boundaries."""
