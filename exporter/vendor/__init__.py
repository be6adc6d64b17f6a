"""The vendor's endpoint as values: requests, responses, codes and labels. Pure."""
