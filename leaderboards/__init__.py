"""The committed rows of the leaderboards, and the pages generated from them."""
