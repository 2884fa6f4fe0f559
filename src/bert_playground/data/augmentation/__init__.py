"""Training rows changed anew in each epoch, and test-time augmentation."""
