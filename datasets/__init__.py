"""Programs that download and prepare data sets, and what only they share."""
