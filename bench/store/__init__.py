"""Records on the disk and the typed evidence in them."""
