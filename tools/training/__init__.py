"""One trainer for every classifier: zoo, sets, augmentation, fit, checkpoints, pictures, export."""
