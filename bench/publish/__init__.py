"""What leaves this machine: the leaderboard and submissions."""
