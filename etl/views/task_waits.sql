percentiles(wait_seconds)
