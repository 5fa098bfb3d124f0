"""One file per tool whose files are read: annotation exports, and formats that are no CSV, JSON or Parquet."""
