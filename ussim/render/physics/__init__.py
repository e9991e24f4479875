"""Scalar physics on float32, written once and compiled for CPU and CUDA."""
