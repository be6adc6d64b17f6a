"""Read and check what the user asked for."""
