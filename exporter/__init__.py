"""Export the whole order history of a DuoPlus team to Parquet, and prove that it is complete."""
