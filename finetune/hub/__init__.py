"""A saved model and the hub: finding the model's own files, and uploading them."""
