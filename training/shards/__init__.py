"""Pre-training instances in memory and on disk, in our own form, HDF5 and TFRecord."""
