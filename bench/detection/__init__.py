"""Object detection: COCO's annotations and pictures, and average precision by its own library."""
