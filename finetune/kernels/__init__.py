"""Faster code for what an encoder computes in training, with the same arithmetic up to rounding. No technique by name.

transformers' modules stay in place: weights keep their names, and what is saved is the plain model.
"""
