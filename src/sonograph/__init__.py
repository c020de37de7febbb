"""Sonograph: pre-trained spectrogram and audio models that work."""
