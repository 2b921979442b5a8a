"""What the scoring of all tasks shares."""
