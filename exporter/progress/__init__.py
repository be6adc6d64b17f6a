"""Show what an export does."""
