"""One run from start to end: prepare, warm up, run under LoadGen, judge, report."""
