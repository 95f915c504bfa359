"""The fault run: the sample city lives while what it stands on is killed, paused, cut, filled and damaged, and readers check."""
