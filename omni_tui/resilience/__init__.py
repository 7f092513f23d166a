"""Failed model requests: their kinds and words, retries, circuit breakers, backoff."""
