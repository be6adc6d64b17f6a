"""Publish results in object storage, or a shared folder, and read them there."""
