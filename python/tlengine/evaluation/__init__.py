"""From features to an answer: strategies compared over budgets and resamples, against a control.

In: a dataset, backbones, names of strategies. Out: a run: one JSON document with results, intervals, paired
tests, a verdict, costs, and the recommended model.
"""
