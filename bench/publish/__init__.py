"""Results that leave this machine: the leaderboard and submissions."""
