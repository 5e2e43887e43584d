"""Trained models in formats that run without Keras, and in the tools of teams."""
