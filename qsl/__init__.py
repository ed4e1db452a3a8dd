"""Query sample libraries: data sets turned into the features that a BERT reads, cached and memory-mapped."""
