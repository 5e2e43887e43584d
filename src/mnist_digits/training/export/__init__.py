"""Trained models in formats that run without Keras."""
