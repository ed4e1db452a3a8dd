"""Query sample libraries: data sets as the features that a BERT reads, cached and memory-mapped."""
