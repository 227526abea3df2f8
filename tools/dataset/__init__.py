"""Running many searches: worker processes on one machine, or a Ray cluster."""
