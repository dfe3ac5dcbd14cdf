"""What rounds cost: measuring, the file, estimating, profiles of shapes."""
