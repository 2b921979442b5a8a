"""The parts that the scoring of all tasks shares."""
