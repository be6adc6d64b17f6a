"""Send one request: paced, retried, decoded."""
