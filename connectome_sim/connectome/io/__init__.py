"""Readers and writers, one file per public format. Nothing outside this folder opens a neuron or connectome file."""
