"""Sources -> columns -> splits -> checks -> tokens. No augmentation: that is a technique."""
