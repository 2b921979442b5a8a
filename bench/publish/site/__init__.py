"""The leaderboard: a static site made of stored records, which opens from the file system."""
