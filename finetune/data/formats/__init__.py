"""One file per supported tool: annotation exports, and formats other than CSV, JSON and Parquet."""
