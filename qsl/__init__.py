"""Query sample libraries: data sets as the features that a BERT reads, and their cache."""
